//! Bad luck on the way to a NATS server: nothing acknowledged is missing, nothing is there twice.

mod nats_common;

use std::time::Duration;

use nats_common::rows::Random;
use nats_common::{Proxy, Server, Stored, Writer, file_batch, open, options, until};
use rustix::process::Signal;
use weir_sinks::nats::Window;
use weir_sinks::payload::PayloadFormat;
use weir_sinks::{Batch, Progress, Sink, SinkError};

/// Rows of every batch here.
const ROWS: usize = 200;

/// The n-th batch of class `file`.
fn batch(n: usize) -> Batch {
    file_batch(n * ROWS, ROWS)
}

fn batches(count: usize) -> Vec<Batch> {
    (0..count).map(batch).collect()
}

#[test]
fn a_server_killed_and_restarted_while_rows_are_written_has_each_row_once_in_order() {
    let test = "a_server_killed_and_restarted_while_rows_are_written_has_each_row_once_in_order";
    for format in [PayloadFormat::Json, PayloadFormat::JsonLines] {
        let Some(mut server) = Server::start(test, "") else { return };
        let mut writer = Writer::new(open(options(&server.url(), server.dir(), format)));
        let files = batches(60);
        let mut random = Random(0x5eed);
        println!("kill points from seed {:#x}", random.0);
        let kills: Vec<u64> = (0..4).map(|n| n * 15 + random.below(15)).collect();
        for (n, batch) in files.iter().enumerate() {
            writer.write(batch);
            if kills.contains(&(n as u64)) {
                // Nothing was flushed: what is on its way is unknown.
                server.kill();
                server.run();
            }
            if n % 13 == 12 {
                writer.flush();
            }
        }
        writer.flush();
        assert_eq!(writer.errors, Vec::<String>::new(), "a server that is away costs a wait, nothing else");
        assert!(writer.sink.counts().connections >= 3);
        Stored::connect(&server.url()).assert_rows(format, &files);
    }
}

#[test]
fn a_server_that_hangs_makes_the_flush_wait_and_costs_nothing() {
    let Some(server) = Server::start("a_server_that_hangs_makes_the_flush_wait_and_costs_nothing", "") else { return };
    let mut writer = Writer::new(open(options(&server.url(), server.dir(), PayloadFormat::JsonLines)));
    let files = batches(8);
    writer.write(&files[0]);
    writer.flush();
    server.signal(Signal::STOP);
    files[1..].iter().for_each(|batch| writer.write(batch));
    let waited = writer.sink_flush().unwrap_err();
    assert!(matches!(&waited, SinkError::Wait(reason) if reason.contains("messages wait")), "{waited}");
    let reason = until("the connection given up", || match writer.sink_flush() {
        Err(SinkError::Wait(reason)) if reason.contains("does not acknowledge within 1 s") => Some(reason),
        Err(SinkError::Wait(reason)) if reason.contains("no connection") => Some(reason),
        other => other.map(|()| None).unwrap_or(None),
    });
    assert!(reason.contains("127.0.0.1"), "{reason}");
    server.signal(Signal::CONT);
    writer.flush();
    Stored::connect(&server.url()).assert_rows(PayloadFormat::JsonLines, &files);
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_said_and_used_once_it_is() {
    let test = "a_server_that_is_not_there_at_the_start_is_said_and_used_once_it_is";
    let Some(mut server) = Server::prepare(test, "") else { return };
    let mut writer = Writer::new(open(options(&server.url(), server.dir(), PayloadFormat::JsonLines)));
    let files = batches(3);
    let reason = writer.waits_for(&files[0], &format!("no connection to 127.0.0.1:{}", server.port()));
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
    server.run();
    files.iter().for_each(|batch| writer.write(batch));
    writer.flush();
    Stored::connect(&server.url()).assert_rows(PayloadFormat::JsonLines, &files);
}

#[test]
fn a_missing_stream_is_named_with_the_command_that_makes_it() {
    let Some(server) = Server::start("a_missing_stream_is_named_with_the_command_that_makes_it", "") else { return };
    let mut chosen = options(&server.url(), server.dir(), PayloadFormat::JsonLines);
    chosen.create_stream = None;
    let mut writer = Writer::new(open(chosen));
    let files = batches(3);
    let error = until("the stream missed", || match writer.try_write(&files[0]) {
        Err(SinkError::Retry(reason)) => Some(reason),
        other => other.map(|()| None).unwrap_or(None),
    });
    assert!(error.contains("nats stream add WEIR --subjects 'weir.*.*'"), "{error}");
    let stored = Stored::connect(&server.url());
    stored.make(|_| ());
    files.iter().for_each(|batch| writer.write(batch));
    writer.flush();
    stored.assert_rows(PayloadFormat::JsonLines, &files);
}

#[test]
fn a_stream_removed_while_running_is_made_again_if_that_is_configured_and_said_if_not() {
    let test = "a_stream_removed_while_running_is_made_again_if_that_is_configured_and_said_if_not";
    for create in [true, false] {
        let Some(server) = Server::start(test, "") else { return };
        let stored = Stored::connect(&server.url());
        stored.make(|_| ());
        let mut chosen = options(&server.url(), server.dir(), PayloadFormat::JsonLines);
        if !create {
            chosen.create_stream = None;
        }
        let mut writer = Writer::new(open(chosen));
        let files = batches(4);
        writer.write(&files[0]);
        writer.flush();
        stored.remove();
        if create {
            files[1..].iter().for_each(|batch| writer.write(batch));
        } else {
            writer.write(&files[1]);
            let error = until("the stream missed", || match writer.sink_flush() {
                Err(SinkError::Retry(reason)) => Some(reason),
                other => other.map(|()| None).unwrap_or(None),
            });
            assert!(error.contains("nats stream add WEIR"), "{error}");
            stored.make(|_| ());
            files[1..].iter().for_each(|batch| writer.write(batch));
        }
        writer.flush();
        stored.assert_rows(PayloadFormat::JsonLines, &files[1..]);
    }
}

#[test]
fn a_full_stream_is_said_and_takes_each_row_once_when_it_has_room_again() {
    let test = "a_full_stream_is_said_and_takes_each_row_once_when_it_has_room_again";
    let Some(server) = Server::start(test, "") else { return };
    let stored = Stored::connect(&server.url());
    stored.make(|config| {
        config.max_messages = 7;
        config.discard = async_nats::jetstream::stream::DiscardPolicy::New;
    });
    let mut writer = Writer::new(open(options(&server.url(), server.dir(), PayloadFormat::JsonLines)));
    let files = batches(8);
    files.iter().take(3).for_each(|batch| writer.write(batch));
    writer.flush();
    assert_eq!(stored.info().state.messages, 6, "a hundred lines a message");
    writer.write(&files[3]);
    let error = until("the stream full", || match writer.sink_flush() {
        Err(SinkError::Retry(reason)) => Some(reason),
        other => other.map(|()| None).unwrap_or(None),
    });
    assert!(error.contains("maximum messages") && error.contains("nats stream edit"), "{error}");
    stored.change(|config| config.max_messages = 1_000);
    files[3..].iter().for_each(|batch| writer.write(batch));
    writer.flush();
    stored.assert_rows(PayloadFormat::JsonLines, &files);
}

#[test]
fn a_lost_acknowledgement_has_the_message_sent_again_and_dropped_by_its_id() {
    let test = "a_lost_acknowledgement_has_the_message_sent_again_and_dropped_by_its_id";
    let Some(server) = Server::start(test, "") else { return };
    let proxy = Proxy::start(server.port());
    let mut writer = Writer::new(open(options(&proxy.url(), server.dir(), PayloadFormat::JsonLines)));
    let files = batches(5);
    writer.write(&files[0]);
    writer.flush();
    let stored = Stored::connect(&server.url());
    proxy.set_deaf(true);
    files[1..].iter().for_each(|batch| writer.write(batch));
    until("the messages stored", || (stored.info().state.messages == 10).then_some(()));
    assert!(matches!(writer.sink_flush(), Err(SinkError::Wait(_))), "without an acknowledgement there is no receipt");
    proxy.set_deaf(false);
    writer.flush();
    let counts = writer.sink.counts();
    assert_eq!((counts.acknowledged, counts.duplicates), (10, 8));
    assert!(counts.resent >= 8, "{counts:?}");
    stored.assert_rows(PayloadFormat::JsonLines, &files);
}

#[test]
fn connections_that_break_again_and_again_cost_nothing() {
    let Some(server) = Server::start("connections_that_break_again_and_again_cost_nothing", "") else { return };
    let proxy = Proxy::start(server.port());
    let mut writer = Writer::new(open(options(&proxy.url(), server.dir(), PayloadFormat::Json)));
    let files = batches(40);
    for (n, batch) in files.iter().enumerate() {
        writer.write(batch);
        if n % 8 == 3 {
            proxy.cut();
        }
    }
    writer.flush();
    assert_eq!(writer.errors, Vec::<String>::new());
    assert!(writer.sink.counts().connections > 2);
    Stored::connect(&server.url()).assert_rows(PayloadFormat::Json, &files);
}

#[test]
fn a_sink_that_the_server_finds_too_slow_connects_again_and_loses_nothing() {
    let test = "a_sink_that_the_server_finds_too_slow_connects_again_and_loses_nothing";
    let Some(server) = Server::start(test, "max_payload: 65536\nmax_pending: 262144") else { return };
    let proxy = Proxy::start(server.port());
    let mut chosen = options(&proxy.url(), server.dir(), PayloadFormat::Json);
    // More acknowledgements than the sockets between hold.
    chosen.window = Window { messages: 100_000, bytes: 256 << 20 };
    chosen.ack_wait = Duration::from_secs(20);
    let mut writer = Writer::new(open(chosen));
    writer.write(&batch(0));
    writer.flush();
    proxy.set_held(true);
    let mut files = vec![batch(0)];
    until("the server's word for a slow consumer", || {
        let next = batch(files.len());
        writer.write(&next);
        files.push(next);
        server.log().contains("Slow Consumer").then_some(())
    });
    proxy.set_held(false);
    writer.flush();
    assert!(writer.sink.counts().connections >= 2);
    // Tens of thousands of messages: they are counted, since reading each takes a question.
    let stored = Stored::connect(&server.url()).info().state.messages;
    assert_eq!(stored, (files.len() * ROWS) as u64, "each row once");
}

#[test]
fn a_server_about_to_stop_is_left_with_nothing_on_its_way() {
    let test = "a_server_about_to_stop_is_left_with_nothing_on_its_way";
    let more = "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"1s\"";
    let Some(mut server) = Server::start(test, more) else { return };
    let mut writer = Writer::new(open(options(&server.url(), server.dir(), PayloadFormat::JsonLines)));
    let files = batches(12);
    files[..6].iter().for_each(|batch| writer.write(batch));
    server.signal(Signal::USR2);
    until("the sink's leave", || match writer.try_write(&files[6]) {
        Err(SinkError::Wait(reason)) => panic!("the first window has room: {reason}"),
        Err(other) => panic!("{other}"),
        Ok(()) => match writer.sink_flush() {
            Err(SinkError::Wait(reason)) => Some(reason),
            other => other.map(|()| None).unwrap_or(None),
        },
    });
    server.wait();
    server.run();
    files[7..].iter().for_each(|batch| writer.write(batch));
    writer.flush();
    assert_eq!(writer.errors, Vec::<String>::new());
    Stored::connect(&server.url()).assert_rows(PayloadFormat::JsonLines, &files);
}

#[test]
fn a_sink_is_dropped_at_once_whatever_the_server_does() {
    let Some(server) = Server::start("a_sink_is_dropped_at_once_whatever_the_server_does", "") else { return };
    let mut sink = open(options(&server.url(), server.dir(), PayloadFormat::JsonLines));
    until("the first write", || sink.write(&batch(0)).ok());
    server.signal(Signal::STOP);
    until("a full window", || sink.write(&batch(1)).err());
    let progress = Progress::default();
    assert!(sink.flush(&progress).is_err());
    drop(sink);
    server.signal(Signal::CONT);
}
