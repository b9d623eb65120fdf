"""From an experiment file to a run directory.

The names stand in `__init__.pyi`, once; each is imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
