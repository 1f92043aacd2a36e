"""Runs one role, as a child of the supervisor or alone."""

from __future__ import annotations

import os
import sys

from server.processes import run_role
from server.processes.child import start
from server.settings import Settings
from storage.errors import StoreError


def main() -> int:
    """Run the role of the first argument with the settings (JSON) of the second; the third is its supervisor."""
    role, settings = sys.argv[1], Settings.model_validate_json(sys.argv[2])
    start(role, int(sys.argv[3]) if len(sys.argv) > 3 else os.getppid())
    try:
        run_role(role, settings)
    except StoreError as error:
        sys.stderr.write(f"klomp {role}: {error.message}{'; ' + error.hint if error.hint else ''}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
