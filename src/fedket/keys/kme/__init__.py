"""Our own key managers (KMEs) for trials and tests: simulated keys behind a real ETSI 014 door.

Needs the extra `kme` (FastAPI, uvicorn).
"""
