"""What commands hand on to the next steps of a job, beside their JSON."""

from __future__ import annotations

OUTPUTS: dict[str, dict[str, str]] = {
    "plan": {"has-changes": "`true` or `false`"},
    "guard": {"refused": "`true` or `false`"},
    "drift": {"drift": "`true` or `false`"},
    "status": {
        "state": "`running`, `stopped`, …; `mixed`; `none`: no machines",
        "run": "the run that is active",
        "deadline": "when AWS stops the machines",
    },
    "up": {"state": "as for `status`", "deadline": "as for `status`"},
    "extend": {"deadline": "as for `status`"},
    "down": {"state": "as for `status`", "deadline": "empty: nobody counts on one any more"},
    "ci reviewed": {
        "reviewed": "`true`: the plan of the pull request; `false`: a new one",
        "has-changes": "`true` or `false`",
    },
    "check": {"failed": "names of the checks that failed, with commas"},
    "train": {"run": "its id", "state": "the run's", "model": "index or engine instance; empty: not known"},
    "cancel": {"run": "its id", "state": "the run's", "model": "as for `train`"},
}
"""What a command hands on in ``$GITHUB_OUTPUT``, beside ``exit`` and ``error``."""
