"""Federated training: local training, strategies, cohorts, rounds, checkpoints."""
