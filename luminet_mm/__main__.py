"""``python -m luminet_mm``: the command `luminet`."""

from .commands import main

if __name__ == '__main__':
    main()
