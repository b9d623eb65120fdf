"""A site that dies, lies and dawdles on cue; stands in for `FederationSite` in tests.

`UNRULY` in the environment is a JSON object: site -> list of [what, action, from which round].
Each entry happens once, also over restarts of the site, except `version`: that is what the site is.
All but the first of a site wait until it has been in a sum since its last restart.
"""

import json
import os
import signal
import time

from nvflare.collab import collab

from fedket.deploy.engines.flare.place import kit_folder
from fedket.deploy.engines.flare.site_app import FederationSite


class UnrulySite(FederationSite):
    """Does as its cues say, and as a good site otherwise."""

    first = 0
    """The first round that this process has seen."""

    @collab.publish
    def phase(self, action, payload):
        """Answer a request of the server, or not."""
        round_num = payload.get("round_num", 0)
        self.first = self.first or round_num
        folder = kit_folder(collab.workspace)
        for number, (what, when, start) in enumerate(_cues(collab.site_name)):
            if what == "version" and when == action:
                answer = super().phase(action, payload)
                return {"reply": answer["reply"] | {"version": "0.0.1", "protocol": 0}}
            done = folder / f"cue-{number}"
            due = round_num >= max(start, self.first + 2 if number else 0)
            if when == action and due and not done.exists():
                done.write_text(str(round_num))
                if what == "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                if what == "fail":
                    os._exit(101)
                if what == "garbage":
                    return {"reply": {"residues": {"not": "bytes"}}}
                if what == "dawdle":
                    time.sleep(30)
        if action == "upload":
            time.sleep(float(os.environ.get("UNRULY_PACE", "0")))
        return super().phase(action, payload)


def _cues(site):
    return json.loads(os.environ.get("UNRULY", "{}")).get(site, [])
