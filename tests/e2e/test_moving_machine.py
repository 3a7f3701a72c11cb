"""A machine that moves from one network to another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_each_change_of_the_network_is_noticed_once() -> None:
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = Path(__file__).with_name("moving_machine.py")
    command = ["unshare", "--net", *as_root, sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
