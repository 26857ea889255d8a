//! Delivery reports: each asker gets its own, early or late, and nothing is kept for nobody.

use tengen_protocol::report::Report;

use super::*;
use crate::Publish;

const LIMIT: Duration = Duration::from_secs(1);

/// Answers every push that asks: `clients` = the length of its event. Returns what asked.
async fn answer(scene: &mut Scene, after: Duration) -> Vec<(u64, u16)> {
    let (head, pushes) = loop {
        let Some(Delivery::Message(message)) = scene.heard.recv().await else {
            panic!("a batch is awaited")
        };
        let (head, pushes) = batch::decode(message.body).expect("a batch");
        // Not one that only repeats the last number.
        if head.count > 0 {
            break (head, pushes);
        }
    };
    tokio::time::sleep(after).await;
    let mut asked = Vec::new();
    for (index, item) in (0..).zip(pushes) {
        let item = item.expect("a push");
        if item.report {
            asked.push((head.seq, index));
            say(scene, head.seq, index, item.event.1.len() as u64).await;
        }
    }
    asked
}

async fn say(scene: &Scene, seq: u64, index: u16, clients: u64) {
    let report = Report {
        clients,
        nodes: 1,
        missing: 0,
    };
    let subject = Subjects::default().report(scene.publisher.id());
    let answer = Publish::new(subject, report.to_batch_json(seq, index));
    scene.bus.publish(answer).await.expect("published");
}

#[tokio::test(start_paused = true)]
async fn f63_who_asks_in_a_batch_gets_the_report_of_its_own_push() {
    let mut scene = scene().await;
    for after in [0, 200] {
        let publisher = scene.publisher.clone();
        let pushes = async {
            publisher.try_push(&push(5)).expect("room");
            let (nine, ten, one) = (push(9), push(10), push(1));
            tokio::join!(
                publisher.push_reported(&nine, LIMIT),
                publisher.push(&one),
                publisher.push_reported(&ten, LIMIT),
            )
        };
        let answering = answer(&mut scene, Duration::from_millis(after));
        let ((nine, one, ten), asked) = tokio::join!(pushes, answering);
        let clients =
            |report: Result<Option<Report>, _>| report.expect("pushed").map(|it| it.clients);
        assert_eq!((clients(nine), clients(ten)), (Some(9), Some(10)));
        one.expect("pushed");
        // Nobody else asks: a plain push costs no report.
        assert_eq!(asked.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_does_not_come_is_given_up_and_one_nobody_waits_for_is_not_kept() {
    let mut scene = scene().await;
    let begun = Instant::now();
    let report = scene.publisher.push_reported(&push(3), LIMIT).await;
    assert_eq!(report, Ok(None));
    assert_eq!(begun.elapsed(), LIMIT);
    // It comes after all, twice, and others that nobody asked for; the next asker gets its own.
    assert_eq!(answer(&mut scene, Duration::ZERO).await, [(1, 0)]);
    for seq in [1, 2, 2, 7] {
        say(&scene, seq, 0, 99).await;
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    let publisher = scene.publisher.clone();
    let four = push(4);
    let pushing = publisher.push_reported(&four, LIMIT);
    let (report, _) = tokio::join!(pushing, answer(&mut scene, Duration::ZERO));
    assert_eq!(report.expect("pushed").map(|it| it.clients), Some(4));
    let desk = scene.publisher.shared.reports.waiting();
    assert_eq!(desk, (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_asker_that_goes_away_leaves_nothing_behind() {
    let mut scene = scene().await;
    for patience in [0, 1, 300] {
        let three = push(3);
        let pushing = scene.publisher.push_reported(&three, LIMIT);
        let patience = Duration::from_millis(patience);
        let _ = tokio::time::timeout(patience, pushing).await;
    }
    scene.publisher.flush().await;
    // They were sent all the same, some of them together.
    let mut asked = 0;
    while asked < 3 {
        asked += answer(&mut scene, Duration::ZERO).await.len();
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(scene.publisher.shared.reports.waiting(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn asking_while_the_bus_is_down_fails_at_once() {
    let scene = scene().await;
    scene
        .publisher
        .listen_for_reports()
        .await
        .expect("subscribed");
    scene.net.take_down(&scene.bus, "gone");
    let report = scene.publisher.push_reported(&push(3), LIMIT).await;
    assert_eq!(report, Err(PublishError::BusDown));
    assert_eq!(scene.publisher.shared.reports.waiting(), (0, 0, 0));
}
