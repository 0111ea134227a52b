use std::time::{Duration, Instant};

use super::super::testing::{self, ID, Stand, one_container, sockets};
use super::*;

/// The one limit of every wait here.
const WAIT_MAX: Duration = Duration::from_secs(300);

fn limits() -> Limits {
    Limits { timeout: Duration::from_secs(60), lookups_per_second_max: 1000, tries_max: 3, ..Limits::default() }
}

fn answers(names: &Names, count: usize) -> Vec<Answer> {
    let end = Instant::now() + WAIT_MAX;
    let mut answers = Vec::new();
    while answers.len() < count && Instant::now() < end {
        answers.extend(names.take());
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(answers.len(), count);
    answers
}

#[test]
fn every_id_has_one_answer_and_one_count() {
    let stand = Stand::open(one_container);
    let names = Names::start(sockets(&[&stand]), limits()).unwrap();
    let others: Vec<String> = (0..50).map(|n| format!("other-{n}")).collect();
    assert!(names.ask(ID) && others.iter().all(|id| names.ask(id)));
    let answers = answers(&names, 51);
    let found: Vec<&str> = answers.iter().filter(|a| matches!(a, Answer::Found(_))).map(Answer::id).collect();
    assert_eq!(found, [ID]);
    assert_eq!(names.counts(), Counts { asked: 51, found: 1, unknown: 50, failed: 0, dropped: 0 });
}

#[test]
fn an_id_that_waits_is_not_asked_for_twice() {
    let stand = Stand::open(one_container);
    let names = Names::start(sockets(&[&stand]), limits()).unwrap();
    assert!((0..100).all(|_| names.ask(ID)));
    answers(&names, 1);
    assert_eq!(names.counts().asked, 1);
    assert!(names.ask(ID));
    answers(&names, 1);
    assert_eq!(names.counts().asked, 2);
}

#[test]
fn asking_never_blocks_and_what_is_too_much_is_counted() {
    let stand = Stand::open(|_| None);
    let names = Names::start(sockets(&[&stand]), Limits { waiting_max: 8, ..limits() }).unwrap();
    let taken_on = (0..1000).filter(|n| names.ask(&format!("id-{n}"))).count();
    // An answer makes room for another: so nobody has waited for one.
    assert_eq!(taken_on, 8);
    assert_eq!(names.counts(), Counts { asked: 8, dropped: 992, ..Counts::default() });
    assert!(names.take().is_empty());
}

#[test]
fn answers_that_nobody_fetches_are_bounded_too() {
    let names = Names::start(Sockets::default(), Limits { waiting_max: 2, ..limits() }).unwrap();
    assert!(names.ask("a") && names.ask("b"));
    let end = Instant::now() + WAIT_MAX;
    while names.counts().unknown < 2 && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!names.ask("c"));
    assert_eq!(names.take().len(), 2);
    assert!(names.ask("c"));
}

#[test]
fn tries_are_no_faster_than_allowed() {
    let stand = Stand::open(one_container);
    let names =
        Names::start(sockets(&[&stand]), Limits { lookups_per_second_max: 20, tries_max: 1, ..limits() }).unwrap();
    let start = Instant::now();
    assert!((0..20).all(|n| names.ask(&format!("other-{n}"))));
    answers(&names, 20);
    assert!(start.elapsed() >= Duration::from_millis(750), "{:?}", start.elapsed());
}

#[test]
fn an_end_does_not_wait_for_a_runtime() {
    let stand = Stand::open(|_| None);
    let limits = Limits { timeout: 4 * WAIT_MAX, ..limits() };
    let names = Names::start(sockets(&[&stand]), limits).unwrap();
    assert!((0..20).all(|n| names.ask(&format!("id-{n}"))));
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    drop(names);
    assert!(start.elapsed() < WAIT_MAX, "{:?}", start.elapsed());
}

#[test]
fn a_runtime_that_comes_later_is_found() {
    let stand = Stand::closed();
    let names = Names::start(sockets(&[&stand]), Limits { tries_max: 1, ..limits() }).unwrap();
    assert!(names.ask(ID));
    assert!(matches!(answers(&names, 1)[0], Answer::Unknown { .. }));
    assert_eq!(names.counts().failed, 1);
    stand.serve(one_container);
    assert!(names.ask(ID));
    assert!(matches!(answers(&names, 1)[0], Answer::Found(_)));
}

#[test]
fn a_cri_socket_that_is_dead_is_a_failure_and_no_more() {
    let stand = Stand::closed();
    testing::dead(&stand.socket());
    let cri = Sockets { docker: Vec::new(), cri: vec![stand.socket()] };
    let names = Names::start(cri, Limits { tries_max: 2, ..limits() }).unwrap();
    assert!(names.ask(ID));
    let Answer::Unknown { why, .. } = &answers(&names, 1)[0] else { panic!("found") };
    assert!(!why.is_empty());
    assert_eq!(names.counts().failed, 1);
}

const PLACE: &str = "/user.slice/user-2001.slice";

fn lookups(stand: &Stand) -> Vec<String> {
    let asked = stand.asked();
    asked.into_iter().filter(|path| path.contains("/containers/")).collect()
}

#[test]
fn a_container_of_root_is_asked_for_before_what_many_claims_wait_for() {
    let stand = Stand::open(one_container);
    let names = Names::start(sockets(&[&stand]), Limits { lookups_per_second_max: 20, ..limits() }).unwrap();
    assert!((0..120).all(|n| names.ask_of_claim(&format!("false-{n}"), PLACE)));
    // They have begun.
    let end = Instant::now() + Duration::from_secs(20);
    while lookups(&stand).is_empty() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    let before = lookups(&stand).len();
    assert!(names.ask(ID));
    let found = std::iter::repeat_with(|| names.take()).flatten().find(|answer| answer.id() == ID);
    assert!(matches!(found, Some(Answer::Found(_))));
    let asked = lookups(&stand);
    let place = asked.iter().position(|path| path.contains(ID)).expect("it was asked for");
    assert!(place <= before + 8, "{} look-ups of claims came before it", place - before);
}

#[test]
fn a_place_of_claims_has_a_part_of_the_room_and_root_has_its_own() {
    let stand = Stand::open(|_| None);
    let names = Names::start(sockets(&[&stand]), Limits { waiting_max: 8, ..limits() }).unwrap();
    let taken_on = (0..100).filter(|n| names.ask_of_claim(&format!("claim-{n}"), PLACE)).count();
    assert_eq!(taken_on, 4);
    let elsewhere = (0..100).filter(|n| names.ask_of_claim(&format!("claim-{n}"), &format!("/{n}"))).count();
    assert_eq!(elsewhere, 16, "four are asked for already");
    assert_eq!((0..100).filter(|n| names.ask(&format!("root-{n}"))).count(), 8);
}

#[test]
fn root_asks_again_for_what_was_only_claimed_before_and_has_one_answer() {
    let stand = Stand::open(one_container);
    let names = Names::start(sockets(&[&stand]), limits()).unwrap();
    assert!(names.ask_of_claim(ID, PLACE) && names.ask(ID) && names.ask(ID));
    answers(&names, 1);
    let end = Instant::now() + Duration::from_secs(20);
    while names.counts().found < 2 && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((names.counts().asked, names.counts().found), (2, 2));
    assert!(names.take().is_empty() && !names.is_busy());
}
