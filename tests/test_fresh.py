"""The fresh processes that other tests run programs in are fresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fresh import Fresh


def test_a_program_has_its_own_arguments_folder_environment_and_output(fresh: Fresh, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nprint(sys.argv[1:], os.getcwd(), os.environ['WHAT'], __file__ == sys.argv[0])\nsys.exit(3)",
        "utf-8",
    )
    ran = fresh.run(script, "a", 1, cwd=tmp_path, env={"WHAT": "that"})
    assert (ran.code, ran.out, ran.err) == (3, f"['a', '1'] {tmp_path} that True\n", "")


def test_graphflow_cannot_be_imported_unless_it_may(fresh: Fresh) -> None:
    ran = fresh.execute("import graphflow")
    assert ran.code == 1 and "graphflow" in ran.err.splitlines()[-1]
    assert fresh.execute("import graphflow", blocked=()).code == 0


def test_nothing_stays_from_one_program_to_the_next(fresh: Fresh) -> None:
    assert fresh.execute("import torch; torch.manual_seed(1); torch.left = 1; print(torch.rand(1).item())").code == 0
    ran = fresh.execute("import sys; print('torch' in sys.modules); import torch; print(hasattr(torch, 'left'))")
    assert ran.out.split() == ["True", "False"]


def test_a_program_that_hangs_is_ended(fresh: Fresh) -> None:
    with pytest.raises(TimeoutError):
        fresh.execute("import time; time.sleep(60)", timeout=0.3)
