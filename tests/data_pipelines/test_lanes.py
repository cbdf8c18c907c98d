"""Lanes: which example stands where, whatever the hosts, wherever a run begins."""

from collections import Counter

import numpy as np
import pytest

from data_pipelines.lanes import LanePlan, count_lanes, hash64, partners, permutation
from data_pipelines.records import BadInput


def make_index(studies_of_shard, images_of_study=1):
    """An index of shards with so many studies; every study its own patient."""
    names = [f"s{shard}-{i}" for shard, n in enumerate(studies_of_shard) for i in range(n)]
    return {
        "shard_examples": np.array(studies_of_shard) * images_of_study,
        "study_id": np.repeat(names, images_of_study),
        "patient_id": np.repeat(names, images_of_study),
    }


def batches(index, steps, **kwargs):
    plan = LanePlan(index, **({"batch_size": 16, "seed": 3} | kwargs))
    return [plan.examples(step) for step in steps]


@pytest.mark.parametrize("num_hosts", [2, 4, 8])
def test_hosts_hold_slices_of_the_same_batches(num_hosts):
    index = make_index([10] * 8)
    alone = batches(index, range(30))
    hosts = [batches(index, range(30), host=h, num_hosts=num_hosts) for h in range(num_hosts)]
    for step in range(30):
        np.testing.assert_array_equal(np.concatenate([h[step] for h in hosts]), alone[step])


def test_a_run_may_begin_at_any_step():
    index = make_index([9, 11, 10, 10])
    np.testing.assert_array_equal(batches(index, range(200))[137:], batches(index, range(137, 200)))
    far = batches(index, [10**9])[0]  # a step that could not be counted up to
    assert len(set(far.tolist())) == 16


def test_every_study_comes_equally_often():
    index = make_index([12] * 8)
    seen = Counter(np.concatenate(batches(index, range(6 * 7))).tolist())  # 7 epochs of 6 steps
    assert set(seen.values()) == {7} and len(seen) == 96


@pytest.mark.parametrize("studies", [[5] * 8, [7, 9, 8, 6], [33], [2] * 16])
def test_no_study_twice_in_a_batch_also_where_epochs_meet(studies):
    index = make_index(studies, images_of_study=3)
    study_of = index["study_id"]
    for examples in batches(index, range(150)):
        assert len(set(study_of[examples].tolist())) == 16


def test_each_image_of_a_study_has_its_turn():
    index = make_index([8] * 8, images_of_study=2)
    examples = np.concatenate(batches(index, range(4 * 40)))
    counts = np.bincount(examples, minlength=128)
    assert counts.reshape(64, 2).sum(axis=1).tolist() == [40] * 64
    assert counts.min() > 5  # of 20 expected


def test_epochs_and_seeds_are_in_other_orders():
    index = make_index([16] * 8)
    first, second = np.array(batches(index, range(8))), np.array(batches(index, range(8, 16)))
    other = np.array(batches(index, range(8), seed=4))
    assert (first == second).mean() < 0.2 and (first == other).mean() < 0.2


def test_few_lanes_draw_from_many_shards_at_once():
    index = make_index([32] * 64)
    batch = batches(index, [0], batch_size=33)[0]  # odd: one lane
    assert len(set((batch // 32).tolist())) > 15


@pytest.mark.parametrize(
    "batch_size, shards, lanes",
    [(512, 64, 64), (512, 1024, 64), (48, 64, 16), (7, 64, 1), (64, 8, 8)],
)
def test_lane_count(batch_size, shards, lanes):
    assert count_lanes(batch_size, shards) == lanes


def test_an_empty_shard_is_passed_over():
    index = make_index([6, 0, 6, 6, 6])
    seen = Counter(np.concatenate(batches(index, range(12), batch_size=4)).tolist())
    assert len(seen) == 24 and set(seen.values()) == {2}


def test_too_few_shards_for_the_hosts():
    with pytest.raises(BadInput, match=r"8 hosts cannot share 4 lanes.*4 shards.*--shards 8"):
        LanePlan(make_index([20] * 4), batch_size=16, seed=0, num_hosts=8)


def test_a_batch_that_would_repeat_a_study():
    with pytest.raises(BadInput, match="batch_size=64.*at most 40"):
        LanePlan(make_index([10] * 4), batch_size=64, seed=0)


def test_the_hash_never_changes():
    # A run resumes in the order it began with, under any version of NumPy.
    assert int(hash64(0, 1)) == 10698543617947631683
    assert permutation(8, 5).tolist() == [6, 2, 5, 1, 7, 3, 0, 4]
    assert hash64(-1, np.arange(3)).tolist() == hash64((1 << 64) - 1, np.arange(3)).tolist()


def test_partners_are_other_patients_drawn_anew():
    patients = np.array([0, 0, 1, 2, 2, 2, 3] * 3)
    examples = np.tile(np.arange(21), 50)
    numbers = np.arange(len(examples))
    drawn = partners(patients, examples, 7, numbers)
    assert (patients[drawn] != patients[examples]).all()
    again = partners(patients, examples[500:600], 7, numbers[500:600])
    np.testing.assert_array_equal(again, drawn[500:600])
    of_first = drawn[examples == 0]
    assert len(set(of_first.tolist())) > 8  # of 15 that are of other patients
