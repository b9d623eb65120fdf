"""The protocol on Flower (extra `flower`): its messages, its Fleet API, its node authentication.

Flower starts a new process for every message, and runs at the nodes whatever code comes from the
server. Here a site's process and the server's own speak Flower's Fleet API themselves: they live as
long as the party, so that compiled circuits, samples and pad stores stay warm, and no code travels.
Certificates of both sides, which Flower does not ask for, close the port to everybody else.
"""
