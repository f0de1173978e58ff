"""Which rooms the platform has: the packages with a folder `defs/`."""

from pathlib import Path

import cdp_platform

ROOMS = sorted(path.parent.name for path in Path(cdp_platform.__file__).parent.glob("*/defs"))
