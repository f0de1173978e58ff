import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp_platform.ops.brake import Brake

SHARE = Brake(max_share=0.2, free=10)


@pytest.mark.parametrize(
    ("vanishing", "held", "stops"),
    [
        (0, 0, False),
        (10, 10, False),
        (11, 11, True),
        (11, 55, False),
        (11, 54, True),
        (200, 1000, False),
        (201, 1000, True),
    ],
)
def test_more_than_the_share_stops_and_a_few_never_do(vanishing: int, held: int, stops: bool):
    assert SHARE.stops(vanishing, held) is stops


@pytest.mark.parametrize(
    ("vanishing", "held", "stops"), [(0, 0, False), (1, 1, True), (1, 2, False), (10, 11, False), (10, 10, True)]
)
def test_all_of_a_few_stop_where_that_is_asked_for(vanishing: int, held: int, stops: bool):
    assert Brake(max_share=0.2, free=10, stops_at_all=True).stops(vanishing, held) is stops


@given(held=st.integers(0, 10**9), free=st.integers(0, 1000))
def test_a_share_of_one_lets_all_go(held: int, free: int):
    assert not Brake(max_share=1, free=free).stops(held, held)
