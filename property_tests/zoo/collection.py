"""The zoo: all seeded defects."""

from property_tests.zoo.commit_defects import COMMIT_DEFECTS
from property_tests.zoo.control_defects import CONTROL_DEFECTS
from property_tests.zoo.recovery_defects import RECOVERY_DEFECTS
from property_tests.zoo.wrong_flows import WRONG_FLOWS

__all__ = ["ZOO"]

ZOO = (*COMMIT_DEFECTS, *CONTROL_DEFECTS, *RECOVERY_DEFECTS, *WRONG_FLOWS)
