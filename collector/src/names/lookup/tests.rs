use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::super::answer::Runtime;
use super::super::testing::{self, ID, Stand, bare, one_container, sockets};
use super::*;

fn limits() -> Limits {
    Limits { timeout: Duration::from_millis(300), lookups_per_second_max: 1000, tries_max: 3, ..Limits::default() }
}

fn run(sockets: &Sockets, limits: Limits, id: &str) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Lookup::new(sockets, limits).unwrap().run(id, Rank::Root).await })
}

fn failed(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

fn found(outcome: Outcome) -> Metadata {
    match outcome {
        Outcome::Found(metadata) => *metadata,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_container_has_its_names() {
    let stand = Stand::open(one_container);
    let metadata = found(run(&sockets(&[&stand]), limits(), ID));
    assert_eq!((metadata.id.as_str(), metadata.runtime), (ID, Runtime::Docker));
    assert_eq!(metadata.name.as_deref(), Some("web"));
    assert_eq!(metadata.image.as_deref(), Some("shop/web:7"));
    assert_eq!(metadata.image_digest.as_deref(), Some("shop/web@sha256:bb"));
    assert_eq!(metadata.labels.get("team").map(String::as_str), Some("a\u{1b}[31m"));
    assert!(!metadata.labels_cut);
}

#[test]
fn another_container_whose_name_is_the_id_is_not_meant() {
    let stand = Stand::open(|path| match bare(path) {
        "/containers/abc/json" => one_container(&format!("/containers/{ID}/json")),
        path => one_container(path),
    });
    assert!(matches!(run(&sockets(&[&stand]), limits(), "abc"), Outcome::Unknown(_)));
}

#[test]
fn the_next_socket_is_asked_where_one_does_not_know_or_is_not_there() {
    let (closed, other, right) =
        (Stand::closed(), Stand::open(|path| one_container(&path.replace(ID, "-"))), Stand::open(one_container));
    testing::dead(&closed.socket());
    assert_eq!(found(run(&sockets(&[&closed, &other, &right]), limits(), ID)).id, ID);
}

#[test]
fn what_all_have_answered_not_to_know_is_unknown_after_all_tries() {
    let stand = Stand::open(|path| one_container(&path.replace(ID, "-")));
    assert_eq!(run(&sockets(&[&stand]), limits(), ID), Outcome::Unknown("no runtime knows it".into()));
    assert_eq!(stand.asked().iter().filter(|path| path.contains("/containers/")).count(), limits().tries_max as usize);
}

#[test]
fn trouble_is_tried_again_and_not_for_ever() {
    let times = AtomicU32::new(0);
    let stand = Stand::open(move |path| match times.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Some((503, "{\"message\":\"starting\"}".into())),
        _ => one_container(path),
    });
    assert_eq!(found(run(&sockets(&[&stand]), limits(), ID)).id, ID);

    let stand = Stand::open(|_| Some((500, "{\"message\":\"broken\"}".into())));
    assert!(failed(run(&sockets(&[&stand]), limits(), ID)).contains("broken"));
    assert_eq!(stand.asked().len(), 3);
}

#[test]
fn a_runtime_that_never_answers_is_given_up_in_time() {
    let stand = Stand::open(|_| None);
    let why = failed(run(&sockets(&[&stand]), Limits { tries_max: 1, ..limits() }, ID));
    assert_eq!(why, "no answer within 300ms");
}

#[test]
fn a_socket_that_is_not_there_yet_is_waited_for() {
    let stand = Stand::closed();
    assert!(failed(run(&sockets(&[&stand]), Limits { tries_max: 1, ..limits() }, ID)).contains("No such file"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            stand.serve(one_container);
        });
        assert_eq!(found(run(&sockets(&[&stand]), limits(), ID)).id, ID);
    });
}

#[test]
fn an_answer_that_is_no_answer_is_refused_and_harms_nobody() {
    let bodies = ["", "{", "[]", "null", "7", r#"{"Id":7}"#, r#"{"Config":{"Labels":[]}}"#, "\u{0}\u{1b}"];
    for body in bodies.map(str::to_owned).into_iter().chain([format!("{}1", "[".repeat(100_000))]) {
        let stand = Stand::open(move |path| match bare(path) {
            "/version" => Some(testing::version()),
            _ => Some((200, body.clone())),
        });
        let outcome = run(&sockets(&[&stand]), Limits { tries_max: 1, ..limits() }, ID);
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    }
}

#[test]
fn an_answer_of_any_length_is_not_read_to_its_end() {
    let stand = Stand::open(|path| match bare(path) {
        "/version" => Some(testing::version()),
        _ => Some((200, format!("{{\"Name\":\"{}\"}}", "x".repeat(8 << 20)))),
    });
    let limits = Limits { timeout: Duration::from_secs(20), ..limits() };
    let why = failed(run(&sockets(&[&stand]), limits, ID));
    assert!(why.contains("longer than 4194304 bytes"), "{why}");
    assert_eq!(stand.asked().iter().filter(|path| path.contains("/containers/")).count(), 1);
}

#[test]
fn labels_beyond_the_bound_are_left_out() {
    let stand = Stand::open(one_container);
    let metadata = found(run(&sockets(&[&stand]), Limits { answer_bytes_max: 32, ..limits() }, ID));
    assert!(metadata.labels.is_empty() && metadata.labels_cut);
    assert_eq!(metadata.name.as_deref(), Some("web"));
}

#[test]
fn an_image_is_asked_for_once() {
    let stand = Stand::open(one_container);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let lookup = Lookup::new(&sockets(&[&stand]), limits()).unwrap();
        for _ in 0..3 {
            assert_eq!(found(lookup.run(ID, Rank::Root).await).image_digest.as_deref(), Some("shop/web@sha256:bb"));
        }
    });
    let asked = stand.asked();
    assert_eq!(asked.iter().filter(|path| path.contains("/images/")).count(), 1, "{asked:?}");
}

#[test]
fn what_cannot_be_an_id_is_asked_of_nobody() {
    let stand = Stand::open(one_container);
    for id in ["", "../images", "a/b", "a?b", "..", "a b", "é", &"a".repeat(129)] {
        assert!(matches!(run(&sockets(&[&stand]), limits(), id), Outcome::Unknown(_)), "{id}");
    }
    assert!(stand.asked().is_empty());
}

#[test]
fn without_a_socket_nothing_is_known() {
    assert!(matches!(run(&Sockets::default(), limits(), ID), Outcome::Unknown(_)));
}
