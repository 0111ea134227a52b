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
