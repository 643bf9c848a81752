"""The guard as policy: rules about what a plan does and leads to, each with an id.

``pio-tf guard`` shows them; no plan is applied that breaks one, unless pio-tf.hcl waives it with a reason. Rules
against removals cannot be waived.
"""

from pio_tf.infra.policy.evaluate import evaluate
from pio_tf.infra.policy.finding import Finding, refuse
from pio_tf.infra.policy.judge import Judgement, judge, judge_file
from pio_tf.infra.policy.rules import RULE, RULES, Rule
from pio_tf.infra.policy.sarif import to_sarif

__all__ = ["RULE", "RULES", "Finding", "Judgement", "Rule", "evaluate", "judge", "judge_file", "refuse", "to_sarif"]
