"""Why a block gave no key."""

import enum

from fedket.errors import KeyExhaustedError


class Alarm(enum.Enum):
    """Why a block was given up; its value says it to people."""

    INTRUSION = "test errors far above the calibration: somebody listens, or the link is broken"
    NO_KEY = "errors and block size leave no secret bits"
    CORRECTION_FAILED = "error correction did not finish"
    VERIFICATION_FAILED = "the corrected bits of the two ends differ"
    AUTHENTICATION_FAILED = "messages of the two ends were altered on the way"
    NO_AUTHENTICATION_KEY = "no key left to authenticate the conversation of the two ends"


class LinkAlarmError(KeyExhaustedError):
    """A link stopped giving key.

    Attributes:
        alarm: Why.
        pair: The two parties of the link.
    """

    def __init__(self, alarm: Alarm, pair: tuple[int, int], clock_s: float) -> None:
        self.alarm, self.pair = alarm, pair
        super().__init__(
            f"the simulated link of {pair[0]} and {pair[1]} raised {alarm.name} at {clock_s:.0f} s "
            f"({alarm.value}); it gives no key until the alarm is cleared"
        )
