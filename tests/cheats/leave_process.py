"""Leave a process and a thread behind that go on working when the chains have ended.

In the record: a remark names both.  A process that detaches itself is not found.
"""

import subprocess
import sys
import threading
from dataclasses import dataclass

from collapse_bench import Mitigation, hookimpl

LEFT = []
END = threading.Event()


@dataclass(frozen=True)
class LeaveProcess(Mitigation):
    def curate(self, corpus, access):
        if not LEFT:
            wait = "import sys; sys.stdin.read()"
            LEFT.append(subprocess.Popen([sys.executable, "-c", wait], stdin=subprocess.PIPE))
            threading.Thread(target=END.wait, name="helper", daemon=True).start()
        return corpus


@hookimpl
def collapse_mitigations():
    return {"leave-process": LeaveProcess}
