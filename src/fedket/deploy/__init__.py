"""A federation of real sites: the protocol's two sides, and engines that carry its messages.

Nothing here but the rooms of `fedket.deploy.engines` needs a package beyond fedket's own.
"""
