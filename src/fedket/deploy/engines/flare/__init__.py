"""The protocol on NVIDIA FLARE (extra `flare`): transport, PKI, provisioning, audit are FLARE's.

One job per run, on FLARE's Collab API. The server's object yields phases, a site's answers them;
both live as long as the job, so that compiled circuits, samples and pad stores stay warm. FLARE
2.9 and other minor versions do not talk to each other.
"""
