"""The door to real QKD hardware: ETSI GS QKD 014 V1.1.1 (REST-based key delivery)."""
