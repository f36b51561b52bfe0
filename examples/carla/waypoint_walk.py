"""Walk along a lane of the map and tell what lies beside it."""

from __future__ import annotations

from common import connect, options


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--step", type=float, default=5.0, help="metres")
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    plan = connect(given).get_world().get_map()
    print(f"{plan.name}: {len(plan.get_topology())} edges, {len(plan.generate_waypoints(2.0))} waypoints 2 m apart")
    here = plan.get_waypoint(plan.get_spawn_points()[0].location)
    for _ in range(given.steps):
        left, right = here.left_lane_marking, here.right_lane_marking
        place = here.transform.location
        print(
            f"road {here.road_id} lane {here.lane_id} s {here.s:7.2f} at ({place.x:.1f}, {place.y:.1f}), "
            f"{here.lane_width:.2f} m wide, {left.color} {left.type} | {right.color} {right.type}"
        )
        further = here.next(given.step)
        if not further:
            print("the lane ends")
            break
        here = further[0]


if __name__ == "__main__":
    main()
