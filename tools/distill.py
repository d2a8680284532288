"""`luminet distill` as a script, which `mim run luminet_mm distill` looks for."""

import sys

from luminet_mm.commands import main

if __name__ == '__main__':
    main(['distill', *sys.argv[1:]])
