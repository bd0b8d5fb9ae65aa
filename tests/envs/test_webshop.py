"""WebShop: as recorded from the published engine, mended where asked to, and playable to a reward of 1.

The recordings in `tests/golden/webshop` are described in its README.
"""

import functools
import gzip
import hashlib
import json
import sys
from pathlib import Path

import pytest

from envs.base import STREAMS, Split
from envs.webshop import Observed, StateKey, WebShop, WebShopSpec
from envs.webshop.files import DEMO, Products, Stock, opened
from envs.webshop.goals import Goals, Prices, make_goals
from envs.webshop.nouns import EveryWord, Listed, Nouns
from envs.webshop.pages import Kind, View
from envs.webshop.panel import part
from envs.webshop.scoring import Scorer, cut_to_colour
from envs.webshop.shop import Shop
from envs.webshop.wishes import fulfilling
from harness.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden/webshop"
FILES = ("items_shuffle_1000.json", "items_ins_v2_1000.json", "items_human_ins.json", "title_nouns.json")
LEFT_OUT = ("action", "reward", "done", "error", "seed_before")
"""What a recorded step does not take over from the step before."""


def golden(name: str):
    text = gzip.decompress((GOLDEN / f"{name}.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()] if name.endswith("jsonl") else json.loads(text)


EPISODES = golden("transcripts.jsonl")


def stock(published: bool = True, goals: Goals = Goals.human, attributes: bool = False) -> Stock:
    return Stock(DEMO, Products.demo, goals, Nouns.listed, published, 0, attributes)


def scorer(published: bool = True) -> Scorer:
    return Scorer(Listed(DEMO / "title_nouns.json.gz", ()), published)


def products():
    return opened(stock()).shop.products


class Recorded:
    """An episode played as it was recorded."""

    def __init__(self, episode: dict) -> None:
        env = episode["env"]
        goals = Goals.human if env["human_goals"] else Goals.synthetic
        assert env["seed"] == 0
        shown = opened(stock(goals=goals, attributes=env.get("show_attrs", False)))
        self.shop, self.goal = shown.shop, shown.goals[episode["goal_index"]]
        self.remembers = "num_prev_obs" in env
        self.view, self.last, self.score = View(), "", None

    def play(self, step: dict) -> tuple[float, bool] | None:
        """Reward and whether it is over; None for a reset."""
        if step["action"].startswith("RESET"):
            self.view = View()
            return None
        if self.remembers:
            self.last = f"{self.text()} [SEP] {step['action']} [SEP] "
        outcome = self.shop.act(self.view, self.goal, step["action"], step.get("seed_before", 0))
        self.view, self.score = outcome.view, outcome.score or self.score
        # An action without effect is answered by the integer 0.
        return (outcome.score.total if outcome.score else 0.0 if outcome.valid else 0), bool(outcome.score)

    def text(self) -> str:
        return self.shop.page(self.view).text(self.goal.instruction)

    def rich(self) -> str:
        page, marked = self.shop.page(self.view), self.shop.marked(self.view)
        return page.chosen_lines(marked) + page.rich(self.goal.instruction, marked)

    def shows(self, step: dict) -> None:
        """Assert that what is open is what was recorded."""
        page, view = self.shop.page(self.view), self.view
        assert self.last + self.text() == step["obs"]
        if "obs_rich" in step:
            assert self.rich() == step["obs_rich"]
        assert list(page.clicks) == step["clickables"]
        assert (view.kind is Kind.index) == step["has_search_bar"]
        state = step["state"]
        assert (view.page, view.asin, dict(view.options)) == (state["page"], state["asin"], state["options"])
        assert "visited" not in state or sorted(view.visited) == sorted(state["visited"])


@pytest.mark.parametrize("episode", EPISODES, ids=lambda episode: episode["id"])
def test_every_recorded_episode(episode):
    played, now = Recorded(episode), episode["reset"]
    assert played.goal.instruction == episode["goal"]["instruction_text"]
    played.shows(now)
    for step in episode["steps"]:
        now = {**{name: now[name] for name in now if name not in LEFT_OUT}, **step}
        if "9999" in step["action"]:
            continue  # a reset to a goal beyond the list raises, in the published engine
        if "error" in step:
            with pytest.raises((TypeError, IndexError)) as raised:
                played.play(step)
            assert raised.type.__name__ == step["error"].partition(":")[0]
            continue
        answer = played.play(step)
        if answer is not None:
            assert answer == (step["reward"], step["done"])
            assert type(answer[0]) is type(step["reward"])
        played.shows(now)
    if episode["final"]:
        scored_as_recorded(played, episode["final"])


def scored_as_recorded(played: Recorded, final: dict) -> None:
    """The parts of the last purchase's score, with nouns and with every word taken for one."""
    score, info, view = played.score, final["info"], played.view
    assert (score.total, score.type, score.title) == (final["reward"], info["r_type"], info["title_score"])
    assert (score.query, score.category) == (info["query_match"], info["category_match"])
    assert (score.attributes, score.options) == (info["r_att"], info.get("r_option"))
    assert score.price == info["r_price"]
    assert played.shop.prices.of[final["asin"]] == final["price"]
    if view.kind is Kind.done:
        words = Shop.__new__(Shop)
        words.__dict__.update(played.shop.__dict__, scorer=Scorer(EveryWord(), True))
        bought = View(Kind.item, asin=final["asin"], options=tuple(final["options"].items()))
        again = words.act(bought, played.goal, "click[buy now]").score
        recorded = final["all_words_are_nouns"]
        assert (again.total, again.type, again.title) == (
            recorded["reward"],
            recorded["r_type"],
            recorded["title_score"],
        )


def test_all_episodes_are_there():
    assert len(EPISODES) == 116
    assert sum(len(episode["steps"]) for episode in EPISODES) == 637


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", list(Goals))
def test_goals_are_those_of_the_published_engine(kind, seed):
    catalogue = opened(stock()).catalogue
    prices = Prices(catalogue, seed, drawn=True)
    goals = make_goals(catalogue, prices, kind)
    recorded = golden("goals.json")[f"{kind.value}_goals"]
    drawn = recorded[f"seed_{seed}"]
    assert len(goals) == recorded["count"]
    assert drawn["ranged_product_prices"].items() <= prices.of.items()
    texts = "\n".join(goal.instruction for goal in goals)
    assert hashlib.sha256(texts.encode()).hexdigest() == drawn["sha256_of_instruction_texts"]
    if kind is Goals.human:
        assert [goal.limit for goal in goals] == drawn["price_upper"]
    else:
        assert all(goal.limit == drawn["price_upper_by_asin"][goal.asin] for goal in goals)


def test_wishes_are_those_of_the_published_engine():
    recorded = golden("goals.json")
    for kind, name in ((Goals.human, "goals_seed_0"), (Goals.synthetic, "goals_seed_0_first_80")):
        for goal, said in zip(
            opened(stock(goals=kind)).goals, recorded[f"{kind.value}_goals"][name], strict=False
        ):
            options = said["goal_options"]
            wished = options.items() if kind is Goals.synthetic else (("", wish) for wish in options)
            assert (goal.asin, goal.attributes, goal.options) == (
                said["asin"],
                tuple(said["attributes"]),
                tuple(wished),
            )


@pytest.mark.parametrize("kind", list(Goals))
def test_the_goals_that_the_published_engine_can_not_reward_in_full(kind):
    found = opened(stock(goals=kind))
    never = [place for place, goal in enumerate(found.goals) if fulfilling(found.shop, goal) is None]
    assert never == golden("goals.json")[f"{kind.value}_goals"]["unreachable_full_reward_seed_0"]


def test_products_are_read_as_the_published_engine_reads_them():
    recorded = golden("products_parsed.json")
    assert list(products()) == list(recorded)
    for asin, said in recorded.items():
        product = products()[asin]
        assert product.price_tag == said["Price"]
        assert list(product.prices) == said["pricing"]
        assert {group: list(values) for group, values in product.options.items()} == said["options"]
        assert (list(product.attributes), product.query) == (said["Attributes"], said["query"])
        assert len(product.bullets) == said["BulletPoints"]


def test_rankings_are_those_recorded_with_bm25s():
    engine = opened(stock()).shop.search
    recorded = golden("search_rankings.json")
    assert len(recorded) == 92
    for query, said in recorded.items():
        ranked = engine.ranked(query)
        assert len(ranked) == said["bm25s"]["total"]
        assert [asin for asin, _ in ranked[:10]] == [asin for asin, _ in said["bm25s"]["top"]]
        scores = [score for _, score in said["bm25s"]["top"]]
        assert [score for _, score in ranked[:10]] == pytest.approx(scores, abs=1e-4)


def test_single_calls_of_the_score():
    recorded, score = golden("reward_cases.json"), scorer()
    for case in recorded["option"]:
        wished = case["wished"]
        pairs = wished.items() if isinstance(wished, dict) else (("", wish) for wish in wished)
        bought = tuple(("group", value) for value in case["bought"])
        assert score.option_hits(bought, tuple(pairs)) == case["matches"], case
    for case in recorded["attribute"]:
        wishes = tuple(case["wished"])
        if "bought_asin" in case:
            assert score.attribute_hits(products()[case["bought_asin"]], wishes) == case["matches"], case
        else:
            having = {asin for asin, each in products().items() if score.attribute_hits(each, wishes)}
            assert having == set(case["asins_with_a_match"]), case
    for value, cut in recorded["color"]:
        assert cut_to_colour(value) == cut


def test_single_calls_of_the_kind_of_product():
    words = Scorer(EveryWord(), True)
    for case in golden("reward_cases.json")["type"]:
        bought, wished = products()[case["bought_asin"]], products()[case["wished_asin"]]
        kind, title, query, category = scorer().kind(bought, wished)
        assert (kind, title) == (case["r_type"], case["title_score"])
        assert (query, category) == (case["query_match"], case["category_match"])
        assert list(words.kind(bought, wished)[:2]) == list(case["all_words_are_nouns"].values())


def buy_perfectly(spec: WebShopSpec, env: WebShop, task) -> tuple[float, bool, int]:
    """Search for the product's own title, page to it, choose what is wished, buy: reward, success, steps."""
    goal = spec.goal(task)
    env.reset(task)
    steps = [env.step(f"search[{spec.opened().shop.products[goal.asin].title}]")]
    while f"click[{goal.asin.lower()}]" not in steps[-1].info.admissible:
        steps.append(env.step("click[next >]"))
    clicks = fulfilling(spec.opened().shop, goal)
    steps += [env.step(click) for click in (f"click[{goal.asin.lower()}]", *clicks)]
    assert all(step.info.valid for step in steps)
    assert not any(step.reward for step in steps[:-1])
    assert steps[-1].terminated
    return steps[-1].reward, steps[-1].info.success, len(steps)


@pytest.mark.parametrize("goals", list(Goals))
def test_a_perfect_buyer_gets_everything(goals):
    spec = WebShopSpec(goals=goals, train_tasks=30, eval_tasks=15, split=Split.unseen)
    env = spec.make()
    for task in spec.training_panel() + spec.evaluation_panel():
        reward, success, steps = buy_perfectly(spec, env, task)
        assert (reward, success) == (1.0, True)
        assert steps <= spec.horizon


def test_a_wrong_purchase_is_scored_in_part_and_ends_the_episode():
    spec = WebShopSpec()
    env = spec.make()
    env.reset(spec.task("train", 0))
    env.step("search[desk lamp]")
    env.step(next(a for a in env._admissible() if a.startswith("click[b0")))
    bought = env.step("click[buy now]")
    assert bought.terminated
    assert 0 <= bought.info.score < 1
    assert not bought.info.success
    assert bought.info.metrics["bought"] == 1
    assert bought.info.admissible == ()


@functools.cache
def mended(goals: Goals = Goals.human) -> Shop:
    return opened(stock(published=False, goals=goals)).shop


def item(asin: str, *clicks: str) -> View:
    view = View(Kind.item, ("tape",), page=1, asin=asin)
    for click in clicks:
        view = mended().act(view, opened(stock()).goals[0], f"click[{click}]").view
    return view


def test_options_count_only_if_they_are_the_wished_ones():
    score = scorer(published=False)
    near = [("dark red", "dark green"), ("x-large", "large"), ("7.5", "7"), ("standard", "tan")]
    for bought, wished in near:
        assert scorer().option_hits((("size", bought),), (("", wished),)) == 1
        assert score.option_hits((("size", bought),), (("", wished),)) == 0
        assert score.option_hits((("size", wished),), (("size", wished),)) == 1
    assert score.option_hits((("color", "black"),), (("band color", "black"),)) == 0
    assert score.option_hits((("color", "grey  |  teal"),), (("", "Grey/Teal"),)) == 1
    both = (("", "black"), ("", "black"))
    assert score.option_hits((("color", "black"),), both) == 1
    assert score.option_hits((("color", "black"), ("band color", "black")), both) == 2


def test_a_value_of_two_groups_can_be_chosen_in_both():
    assert item("B0SGA20XFK", "black").options == (("color", "black"),)
    assert item("B0SGA20XFK", "black", "black").options == (("color", "black"), ("band color", "black"))
    assert item("B0SGA20XFK", "black", "white").options == (("color", "black"), ("band color", "white"))
    changed = item("B0SGA20XFK", "black", "white", "white")
    assert changed.options == (("color", "white"), ("band color", "white"))


def test_an_option_named_like_a_button_is_an_option():
    assert item("B0PJ1DE6BF", "reviews").options == (("pattern name", "reviews"),)
    assert item("B0PJ1DE6BF", "features").kind is Kind.part


def test_a_name_that_holds_brackets_can_be_clicked(tmp_path):
    folder = own_files(tmp_path / "own")
    entries = json.loads((folder / FILES[0]).read_text())
    entries[0]["customization_options"]["color"][0]["value"] = "[new] silver/ Grey"
    (folder / FILES[0]).write_text(json.dumps(entries))
    for published in (True, False):
        spec = WebShopSpec(products=Products.small, data=str(folder), published_faults=published)
        shop, view = spec.opened().shop, View(Kind.item, asin=entries[0]["asin"])
        click = f"click[{next(name for name in shop.page(view).clicks if '[' in name)}]"
        assert shop.act(view, spec.opened().goals[0], click).valid != published
        assert click == ("click[[new] silver |  grey]" if published else "click[[new] silver | grey]")


def test_groups_of_one_name_are_joined():
    assert mended().products["B0RH7GWH4R"].options["flavor"] == (
        "oats, dark chocolate",
        "oats, cherry",
        "salted caramel",
        "apple pie",
    )


def test_there_are_no_back_doors_and_no_pages_without_end():
    shop, goal = mended(), opened(stock()).goals[0]
    for words in ("<r>", "<a> dimmable", "<c>", "<q> desk lamps"):
        assert shop.act(View(), goal, f"search[{words}]").view.drawn == ()
    found = shop.act(View(), goal, "search[search_results shampoo]").view
    assert list(shop.page(found).clicks)[0:1] == ["back to search"]
    assert "next >" not in shop.page(found).clicks
    opened_item = shop.act(found, goal, f"click[{list(shop.page(found).clicks)[-1]}]").view
    assert shop.act(opened_item, goal, "click[< prev]").view.page == 1
    assert "search" not in shop.page(View()).clicks


def test_a_title_without_nouns_and_a_capital_letter_cost_nothing():
    quiet, lamp = products()["B0CHJNE7GD"], products()["B0WBZOFE2D"]
    assert scorer().kind(quiet, lamp)[0] == 0
    assert scorer(published=False).kind(quiet, quiet)[1] == 1.0
    text, wish = products()["B01RBRP512"], ("Fine Gauge",)
    assert (scorer().attribute_hits(text, wish), scorer(False).attribute_hits(text, wish)) == (0, 1)


def test_prices_of_ranges_are_known():
    shop = mended()
    ranged = [product for product in shop.products.values() if len(product.prices) == 2]
    assert ranged
    assert all(shop.prices.of[product.asin] == max(product.prices) for product in ranged)


@pytest.mark.parametrize(
    ("spec", "differ"),
    [
        (WebShopSpec(), False),
        (WebShopSpec(observed=Observed.text_rich), True),
        (WebShopSpec(state_keys=StateKey.view), True),
    ],
)
def test_state_keys_show_what_was_chosen_if_pages_do_or_they_are_asked_to(spec, differ):
    env = spec.make()
    env.reset(spec.task("train", 0))
    env.step("search[headphones noise cancelling]")
    before = env.step("click[b0sga20xfk]").info
    after = env.step("click[rose gold]").info
    assert after.valid
    assert (before.state_key != after.state_key) == differ
    assert env.step("click[no such thing]").info.state_key == after.state_key


def test_a_copy_goes_on_as_a_replay_does():
    spec = WebShopSpec(observed=Observed.text_rich)
    actions = ["search[women sweater]", "click[next >]", "click[b0x4zf59t1]", "click[x-large]"]
    env, twin = spec.make(), spec.make()
    for each in (env, twin):
        each.reset(spec.task("train", 1))
        for action in actions:
            each.step(action)
    copied = env.copy()
    env.step("click[buy now]")
    assert copied.step("click[features]") == twin.step("click[features]")


def test_observations_leave_the_instruction_to_the_goal():
    spec = WebShopSpec()
    task = spec.task("train", 0)
    observation, info = spec.make().reset(task)
    assert observation == "Search"
    (search,) = info.admissible
    assert search.removeprefix("search[").removesuffix("]") in task.goal
    assert "price" not in search
    plain = WebShopSpec(suggest_search=False)
    assert plain.make().reset(task)[1].admissible == ("search[<your query>]",)


def test_an_episode_without_a_purchase_ends_at_the_horizon():
    spec = WebShopSpec(horizon=3)
    env = spec.make()
    env.reset(spec.task("train", 0))
    steps = [env.step(action) for action in ("search[lamp]", "nonsense", "click[next >]")]
    assert [step.truncated for step in steps] == [False, False, True]
    assert steps[-1].info.score == 0


def test_splits_are_webshops_own():
    assert part("eval", 6910) == range(500)
    assert (part("tuning-eval", 6910).start, part("tuning-train", 6910).stop) == (500, 1500)
    assert part("train", 6910) == range(1500, 6910)
    for count in (4, 71, 595, 12087):
        places = [place for stream in STREAMS for place in part(stream, count)]
        assert sorted(places) == list(range(count))


def test_streams_ask_for_different_things():
    spec = WebShopSpec(goals=Goals.synthetic, train_tasks=40, eval_tasks=40)
    asked = [spec.goal(spec.task(stream, i)) for stream in STREAMS for i in range(40)]
    assert len({(goal.asin, goal.attributes, goal.options) for goal in asked}) == len(asked)


def test_dials_and_files_are_in_the_panel_s_hash(tmp_path):
    plain = WebShopSpec()
    others = [WebShopSpec(published_faults=True), WebShopSpec(nouns=Nouns.words), WebShopSpec(price_seed=1)]
    assert len({spec.panel_hash() for spec in (plain, *others)}) == 4
    own, moved = own_files(tmp_path / "a"), own_files(tmp_path / "b")
    same = [WebShopSpec(products=Products.small, data=str(folder)).panel_hash() for folder in (own, moved)]
    assert same[0] == same[1]
    entries = json.loads((moved / FILES[0]).read_text())
    entries[0]["full_description"] += " New."
    (moved / FILES[0]).write_text(json.dumps(entries))
    opened.cache_clear()
    assert WebShopSpec(products=Products.small, data=str(moved)).panel_hash() != same[0]


def test_results_are_labelled():
    assert WebShopSpec().label == "WebShop engine, authored catalogue"
    assert WebShopSpec(nouns=Nouns.words).label == "WebShop engine, authored catalogue, every word a noun"


def own_files(folder: Path) -> Path:
    """A user's folder: the authored catalogue, unpacked."""
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(gzip.decompress((DEMO / f"{name}.gz").read_bytes()))
    return folder


def refused(match: str, **dials) -> None:
    with pytest.raises(UserError, match=match) as error:
        WebShopSpec(**dials).check()
    assert "\n" not in str(error.value)


def test_folders_that_do_not_hold_the_data(tmp_path, monkeypatch):
    monkeypatch.delenv("WEBSHOP_DATA", raising=False)
    small = {"products": Products.small}
    refused("set env.data=FOLDER or WEBSHOP_DATA", **small)
    refused("there is no folder", **small, data=str(tmp_path / "nowhere"))
    refused("has no items_shuffle_1000.json", **small, data=str(tmp_path))
    refused("has no items_shuffle.json", products=Products.full, data=str(own_files(tmp_path / "own")))
    refused("env.data has no effect with env.products=demo", data=str(tmp_path))
    (tmp_path / "own" / "title_nouns.json").unlink()
    refused("set env.nouns=spacy", **small, data=str(tmp_path / "own"))
    monkeypatch.setenv("WEBSHOP_DATA", str(tmp_path / "own"))
    WebShopSpec(**small, nouns=Nouns.words).check()


def test_files_that_are_broken(tmp_path):
    folder = own_files(tmp_path / "own")
    small = {"products": Products.small, "data": str(folder)}
    for text, match in [("", "can't read"), ("{}", "no JSON list"), ("[]", "holds no product")]:
        (folder / FILES[0]).write_text(text)
        refused(match, **small)
    (folder / FILES[0]).write_text('[{"asin": "B012345678", "name": "Lamp"}]')
    refused("entry 0 of .* is not in WebShop's format", **small)


def test_a_catalogue_that_lacks_what_goals_name(tmp_path):
    folder = own_files(tmp_path / "own")
    entries = json.loads((folder / FILES[0]).read_text())
    for name in FILES[:2]:
        (folder / name.replace("_1000", "")).write_bytes((folder / name).read_bytes())
    wanted = json.loads((folder / FILES[2]).read_text())
    lacking = [entry for entry in entries if entry["asin"] != next(iter(wanted))]
    (folder / "items_shuffle.json").write_text(json.dumps(lacking))
    refused(
        f"lacks 1 products that goals name, {next(iter(wanted))}", products=Products.full, data=str(folder)
    )
    (folder / FILES[0]).write_text(json.dumps([{**entries[0], "asin": "B000000000"}]))
    refused("no goal names a product of", products=Products.small, data=str(folder))


def test_panels_that_are_larger_than_the_data():
    refused("has only 3. human goals for train, env.train_tasks=99 .*synthetic", train_tasks=99)
    refused("synthetic goals for eval", eval_tasks=500, goals=Goals.synthetic, split=Split.unseen)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    refused(r"creditbench\[webshop\]")


def test_spacy_s_model_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    refused("python -m spacy download en_core_web_sm", nouns=Nouns.spacy)
