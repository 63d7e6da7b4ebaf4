use super::*;

fn waits_for(attempt: u64) -> What {
    What {
        waits_for: "oauth2.googleapis.com".into(),
        attempt,
        ..What::default()
    }
}

fn works(done: u64, total: Option<u64>) -> What {
    What {
        activity: "listing assets".into(),
        done,
        total,
        ..What::default()
    }
}

fn message(line: &WaitingLine, now: Instant) -> Option<String> {
    line.state().line(now).map(|line| line.message)
}

#[test]
fn line_appears_after_two_seconds_and_counts_all_attempts() {
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    let id = tracing::Id::from_u64;
    let line = WaitingLine::default();
    line.state().begin(id(1), waits_for(1), at(0.0));
    assert_eq!(message(&line, at(1.9)), None);
    assert_eq!(
        message(&line, at(2.5)).unwrap(),
        "waiting for oauth2.googleapis.com (attempt 1, 2 s) …"
    );
    line.end(&id(1));
    assert_eq!(message(&line, at(3.0)), None);
    line.state().begin(id(2), waits_for(2), at(3.0));
    assert_eq!(
        message(&line, at(3.1)).unwrap(),
        "waiting for oauth2.googleapis.com (attempt 2, 3 s) …"
    );
    line.end(&id(2));
    line.state().begin(id(3), waits_for(1), at(4.0));
    assert_eq!(message(&line, at(5.0)), None, "another request");
    line.end(&id(3));
    line.state().begin(id(4), waits_for(3), at(9.0));
    line.state().begin(id(5), waits_for(1), at(9.0));
    assert_eq!(
        message(&line, at(9.0)).unwrap(),
        "waiting for oauth2.googleapis.com (attempt 3, 5 s) …"
    );
}

#[test]
fn activity_shows_its_progress_and_what_it_waits_for() {
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    let id = tracing::Id::from_u64;
    let line = WaitingLine::default();
    line.state().begin(id(1), works(0, None), at(0.0));
    assert_eq!(message(&line, at(0.4)), None);
    assert_eq!(message(&line, at(0.6)).unwrap(), "listing assets …");
    line.state().waits[0].what.done = 2000;
    line.state().begin(id(2), waits_for(1), at(1.0));
    assert_eq!(message(&line, at(1.1)).unwrap(), "listing assets: 2000 …");
    assert_eq!(
        message(&line, at(3.5)).unwrap(),
        "listing assets: 2000 … waiting for oauth2.googleapis.com (attempt 1, 2 s) …"
    );
    line.end(&id(2));
    line.end(&id(1));
    assert_eq!(message(&line, at(4.0)), None);

    line.state().begin(id(3), works(3, Some(12)), at(5.0));
    assert_eq!(
        line.state().line(at(6.0)),
        Some(Line {
            message: "listing assets …".into(),
            progress: Some((3, 12, false))
        })
    );
}

#[test]
fn download_shows_its_bytes_beside_no_list() {
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    let id = tracing::Id::from_u64;
    let line = WaitingLine::default();
    let download = |done, total| What {
        activity: "downloading".into(),
        done,
        total,
        is_bytes: true,
        ..What::default()
    };
    line.state().begin(id(1), waits_for(1), at(0.0));
    line.state().begin(id(2), download(0, None), at(1.0));
    assert_eq!(
        message(&line, at(3.0)).unwrap(),
        "downloading … waiting for oauth2.googleapis.com (attempt 1, 3 s) …"
    );
    line.state().waits[1].what.done = 1536;
    assert_eq!(message(&line, at(3.0)).unwrap(), "downloading: 1.50 KiB …");
    line.state().waits[1].what.total = Some(2048);
    assert_eq!(
        line.state().line(at(3.0)),
        Some(Line {
            message: "downloading …".into(),
            progress: Some((1536, 2048, true))
        })
    );
    line.state().begin(id(3), works(7, None), at(3.0));
    assert_eq!(message(&line, at(3.1)).unwrap(), "downloading …");
    let shown = message(&line, at(4.0)).unwrap();
    assert!(shown.starts_with("listing assets: 7 …"), "{shown}");
}

#[test]
fn timed_activity_shows_its_seconds() {
    let start = Instant::now();
    let line = WaitingLine::default();
    let what = What {
        activity: "waiting for the task A: RUNNING".into(),
        is_timed: true,
        ..What::default()
    };
    line.state().begin(tracing::Id::from_u64(1), what, start);
    assert_eq!(
        message(&line, start + Duration::from_secs(61)).unwrap(),
        "waiting for the task A: RUNNING, 61 s …"
    );
}

#[test]
fn templates_are_valid() {
    for template in [None, Some((1, 2, true)), Some((1, 2, false))] {
        let bar = ProgressBar::with_draw_target(Some(2), ProgressDrawTarget::hidden());
        bar.set_style(style(template));
    }
    for template in [
        "{spinner} {wide_msg}",
        "{spinner} {msg} [{bar:20}] {bytes} of {total_bytes}",
        "{spinner} {msg} [{bar:20}] {pos} of {len}",
    ] {
        ProgressStyle::with_template(template).unwrap();
    }
}
