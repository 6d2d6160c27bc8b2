"""``python -m edgeban.cli`` is ``edgeban``."""

from edgeban.cli import main

main()
