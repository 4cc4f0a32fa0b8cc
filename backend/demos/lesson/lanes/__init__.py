"""The lanes, in the order of the page."""

from demos.lesson.lanes import find, full, kill, power, race, refer, scale
from demos.lesson.steps import Lane

LANES: dict[str, Lane] = {
    lane.name: lane for lane in (race.LANE, kill.LANE, power.LANE, full.LANE, find.LANE, refer.LANE, scale.LANE)
}
