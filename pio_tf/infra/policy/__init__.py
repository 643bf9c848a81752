"""The guard as policy: numbered rules about what a plan does and what exists after it.

``pio-tf guard`` shows what breaks them. pio-tf applies no plan that breaks one, unless pio-tf.hcl waives the rule with
a reason. The rules against removals cannot be waived.
"""

from pio_tf.infra.policy.checks import evaluate
from pio_tf.infra.policy.judgement import Judgement, judge, judge_file, refuse
from pio_tf.infra.policy.rules import RULE, RULES, Finding, Rule
from pio_tf.infra.policy.sarif import to_sarif

__all__ = ["RULE", "RULES", "Finding", "Judgement", "Rule", "evaluate", "judge", "judge_file", "refuse", "to_sarif"]
