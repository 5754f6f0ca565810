"""What every task imports first: a half that is run alone, as a script, names all packages it lacks in one line."""

import sys
from pathlib import Path

from examples import tasks

script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
if script.name.startswith("with_"):
    try:
        tasks.require(script.parent.name, script)
    except tasks.Misuse as error:
        print(f"examples: {error}", file=sys.stderr)
        sys.exit(2)
