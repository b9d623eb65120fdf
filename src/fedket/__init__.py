"""fedket: quantum federated learning, from a laptop study to a masked federation.

The public names stand in `__init__.pyi`, once; each is imported when first used, so that
`import fedket` stays quick.
"""

import lazy_loader

from fedket._version import __version__ as __version__

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["__version__", *_names]
