"""PennyLane: a QNode as a model, on fedket's engine or on the QNode's own device."""
