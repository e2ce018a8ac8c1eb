"""The friendly routes, as somebody with curl or a browser uses them."""

import base64
import io
import threading

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from serving.conftest import running

from vitrine.errors import InputError
from vitrine.predict import predict
from vitrine.serving.limits import Limits, parse_limits
from vitrine.serving.run import Plan, Server
from vitrine.visual_search import search_photos


def form(*paths):
    return [("photos", (path.name, path.read_bytes(), "image/png")) for path in paths]


def test_predict_says_what_the_command_says(made, client):
    paths = made.photos[:3]
    answer = client.post("/predict", files=form(*paths), data={"top": "2"}).json()
    assert answer["model"] == "taxonomy"
    assert len(answer["version"]) == 16
    expected = predict(made.taxonomy, [str(path) for path in paths], top=2)
    assert answer["answers"] == [line | {"image": path.name} for line, path in zip(expected, paths, strict=True)]


def test_every_form_of_a_photo_gets_the_same_answer(made, client):
    path = made.photos[0]
    data, text = path.read_bytes(), base64.b64encode(path.read_bytes()).decode()
    answers = [
        client.post("/predict?top=1", files=form(path)),
        client.post("/predict?top=1", content=data, headers={"Content-Type": "image/png"}),
        client.post("/predict?top=1", content=data, headers={"Content-Type": "application/octet-stream"}),
        client.post("/predict", json={"photos": [text], "top": 1}),
        client.post("/predict", json={"photos": [{"name": "a/b/x.png", "data": f"data:image/png;base64,{text}"}], "top": 1}),
    ]  # fmt: skip
    told = [answer.json()["answers"][0] for answer in answers]
    assert [one.pop("image") for one in told] == [path.name, "photo", "photo", "photo 0", "x.png"]
    assert all(one == told[0] for one in told)
    assert len(told[0]["level1"]) == 1


def test_a_model_is_chosen_by_name(made, client):
    answer = client.post("/predict?model=plain", files=form(made.photos[0])).json()
    (expected,) = predict(made.other, [str(made.photos[0])])
    assert answer["answers"] == [expected | {"image": made.photos[0].name}]
    missing = client.post("/predict?model=shoes", files=form(made.photos[0]))
    assert missing.status_code == 404
    assert "no model 'shoes' here; there are: authenticity, plain, taxonomy" in missing.json()["error"]
    judging = client.post("/predict?model=authenticity", files=form(made.photos[0]))
    assert judging.status_code == 400
    assert "/verify" in judging.json()["error"]


def test_bad_photos_are_named_and_the_others_answered(made, client):
    files = [*form(made.photos[0]), ("photos", ("bad.png", b"no photo", "image/png")), *form(made.photos[1])]
    answer = client.post("/predict", files=files)
    assert answer.status_code == 200
    assert [one["image"] for one in answer.json()["answers"]] == [path.name for path in made.photos[:2]]
    assert answer.json()["errors"] == ["bad.png: is not a photo"]
    alone = client.post("/predict", files=files[1:2])
    assert (alone.status_code, alone.json()) == (400, {"error": "bad.png: is not a photo"})


def test_searching_finds_products_by_their_best_photo(made, client):
    path = made.photos[0]
    answer = client.post("/search", files=form(path), data={"k": "5"}).json()
    assert answer["searched_photos"] == len(made.catalog)
    (result,) = answer["results"]
    products = [hit["product"] for hit in result["products"]]
    assert len(products) == len(set(products)) == 5
    assert products[0] == "P0"
    (line,) = search_photos(made.index, [str(path)], 20)
    expected = list(dict.fromkeys(hit["product"] for hit in line["results"]))[:5]
    assert products == expected
    assert result["products"][0]["score"] == pytest.approx(1, abs=1e-3)
    below = client.post("/search?k=100&category=Angular/Square", files=form(path)).json()
    assert {hit["category"] for hit in below["results"][0]["products"]} == {
        "Angular/Square/Plain", "Angular/Square/Crossed",
    }  # fmt: skip
    assert client.post("/search?category=Flat", files=form(path)).status_code == 400


def test_searching_begins_with_a_product_too(client):
    answer = client.post("/search", json={"product": "P7", "k": 40}).json()
    products = [hit["product"] for hit in answer["results"][0]["products"]]
    assert len(products) == 40
    assert "P7" not in products
    assert client.post("/search", json={"product": "P999"}).status_code == 404
    both = client.post("/search?product=P7", content=b"x", headers={"Content-Type": "image/png"})
    assert both.status_code == 400
    assert client.post("/search").status_code == 400


def test_photos_of_what_was_found_are_shown_and_nothing_else(made, client):
    answer = client.post("/search", files=form(made.photos[3])).json()
    photo = client.get(answer["results"][0]["products"][0]["photo"])
    assert photo.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(photo.content)).size == (32, 32)
    for place in ("0", "../catalog.parquet", "segment-x/0", "/etc/passwd", "segment-x/..%2f..%2f..%2fetc%2fpasswd"):
        assert client.get(f"/photos/{place}").status_code == 404


def test_a_listing_is_judged_by_all_of_its_photos(made, client):
    rows = made.listings.table[made.listings.table["listing"] == made.listings.table["listing"].iloc[0]]
    paths = [made.folder / "listings" / image for image in rows["image"]]
    answer = client.post("/verify", files=form(*paths)).json()
    assert answer["model"] == "authenticity"
    assert answer["verdict"] in ("authentic", "counterfeit", "ask an expert")
    assert [one["image"] for one in answer["weights"]] == [path.name for path in paths]
    assert sum(one["weight"] for one in answer["weights"]) == pytest.approx(1, abs=1e-3)
    heaviest = max(answer["weights"], key=lambda one: one["weight"])
    assert answer["deciding_photos"][0]["weight"] == heaviest["weight"]
    too_many = client.post("/verify", files=form(*paths[:1] * 17))
    assert too_many.status_code == 400
    assert "16 at most" in too_many.json()["error"]
    assert client.post("/verify", files=[*form(paths[0]), ("photos", ("b.png", b"", "image/png"))]).status_code == 400


def test_prometheus_reads_the_figures(made, client):
    def figure(name, **labels):
        families = text_string_to_metric_families(client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    before = figure("vitrine_requests_total", route="/predict", code="200")
    photos = figure("vitrine_batch_photos_sum", model="taxonomy")
    client.post("/predict", files=form(*made.photos[:4]))
    assert figure("vitrine_requests_total", route="/predict", code="200") == before + 1
    assert figure("vitrine_batch_photos_sum", model="taxonomy") == photos + 4
    assert figure("vitrine_request_seconds_count", route="/predict") >= before + 1
    assert figure("vitrine_model", model="taxonomy", task="taxonomy", engine="torch") == 1
    assert figure("vitrine_waiting_photos") == 0


def test_pages_name_no_outside_address(client):
    for path in ("/", "/docs", "/static/page.js", "/static/page.css"):
        page = client.get(path)
        assert page.status_code == 200
        assert "//" not in page.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert "script-src 'self'" in client.get("/").headers["content-security-policy"]
    routes = client.get("/openapi.json").json()["paths"]
    documented = client.get("/docs").text
    assert {"/predict", "/search", "/verify", "/v2/models/{name}/infer", "/metrics"} <= set(routes)
    assert all(route in documented for route in routes)
    assert client.get("/nothing").json() == {"error": "no such address; /docs names them"}
    assert client.get("/predict").status_code == 405


def test_a_token_is_asked_for(made, tmp_path):
    (tmp_path / "token").write_text("open-sesame\n")
    with running(Plan(models=[str(made.other)], token=tmp_path / "token")) as client:
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.get("/").status_code == 200
        for header in ({}, {"Authorization": "Bearer open"}, {"Authorization": "open-sesame"}):
            refused = client.post("/predict", files=form(made.photos[0]), headers=header)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401
        right = {"Authorization": "Bearer open-sesame"}
        assert client.post("/predict", files=form(made.photos[0]), headers=right).status_code == 200


def test_more_than_can_wait_is_told_to_come_back(made):
    limits = Limits(photos=4, waiting_photos=4)
    with running(Plan(models=[str(made.other)], limits=limits)) as client:
        answers = []

        def ask():
            answers.append(client.post("/predict", files=form(*made.photos[:4])))

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        codes = [answer.status_code for answer in answers]
        assert set(codes) <= {200, 503}
        assert 200 in codes
        assert 503 in codes
        busy = next(answer for answer in answers if answer.status_code == 503)
        assert 1 <= int(busy.headers["retry-after"]) <= 60
        assert "photos wait to be answered" in busy.json()["error"]
        assert client.post("/predict", files=form(*made.photos[:4])).status_code == 200
        assert client.post("/predict", files=form(*made.photos[:5])).status_code == 413


def test_an_answer_that_takes_too_long_is_given_up(made):
    with running(Plan(models=[str(made.other)], limits=Limits(answer_seconds=1e-6))) as client:
        late = client.post("/predict", files=form(made.photos[0]))
        assert late.status_code == 503
        assert "no answer within" in late.json()["error"]


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        ({}, "nothing to serve"),
        ({"models": ["m"], "wanted": ["taxonomy"]}, "--registry"),
        ({"models": ["m"], "batch": 0}, "must be above 0"),
        ({"models": ["m"], "every": float("inf")}, "--every inf: .* at most"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(plan, what):
    with pytest.raises(InputError, match=what):
        Server(Plan(**plan))


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(port):
    with pytest.raises(InputError, match=f"--port {port}: from 0 to 65535"):
        Server(Plan(models=["m"]), port=port)


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        ({"models": ["/no/such/model"]}, "not a model folder"),
        ({"registry": "{tmp}/registry"}, "no model is in use for any task"),
        ({"registry": "{tmp}/registry", "wanted": ["matching"]}, "no model is in use for 'matching'"),
        ({"index": "{tmp}"}, "not an index"),
    ],
)
def test_what_cannot_be_loaded_ends_the_server(tmp_path, plan, what):
    plan = {key: value.format(tmp=tmp_path) if isinstance(value, str) else value for key, value in plan.items()}
    if "index" in plan:
        plan["index"] = tmp_path
    with pytest.raises(InputError, match=what):
        Server(Plan(**plan), port=0).run()


def test_limits_are_named():
    assert parse_limits(["photos=8"]).photos == 8
    for text, what in (
        ("fotos=8", "did you mean photos"),
        ("photos=x", "not a number"),
        ("pixels=0", "above 0"),
        ("answer_seconds=inf", "finite"),
        ("body_seconds=nan", "finite"),
    ):
        with pytest.raises(InputError, match=what):
            parse_limits([text])
