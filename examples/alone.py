"""What every task runs first: a half that is run alone, as a script, lists all missing packages in one line."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from examples import tasks

sys.path.pop(0)

script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
if script.name.startswith("with_"):
    try:
        tasks.require(script.parent.name, script)
    except tasks.Misuse as error:
        print(f"examples: {error}", file=sys.stderr)
        sys.exit(2)
