//! The same behind nginx and haproxy, in turn and without affinity.

use std::time::Duration;

use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tengen_bus::testing::Proxy;
use tengen_client::{Transport, TransportChoice};

use crate::balancer::{Balancer, Kind};
use crate::pace::Pace;
use crate::pushing::Pushing;
use crate::visitors::Visitors;
use crate::witness::Witness;
use crate::world::{World, soon, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f96_behind_nginx_connections_cut_and_reset_lose_repeat_and_reorder_nothing() {
    connections_cut_and_reset_lose_repeat_and_reorder_nothing(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f96_behind_haproxy_connections_cut_and_reset_lose_repeat_and_reorder_nothing() {
    connections_cut_and_reset_lose_repeat_and_reorder_nothing(Kind::Haproxy).await;
}

async fn connections_cut_and_reset_lose_repeat_and_reorder_nothing(kind: Kind) {
    let world = World::start().await;
    let Some(balancer) = Balancer::start(kind, &world).await else {
        return;
    };
    let door = Proxy::start(&[balancer.address]).await;
    let visitors = Visitors::enter(&world, 100, |_| door.address()).await;
    let witness = Witness::of(&world);
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;

    let mut random = rand::rngs::SmallRng::seed_from_u64(96);
    let end = tokio::time::Instant::now() + Pace::of_this_run().trouble;
    while tokio::time::Instant::now() < end {
        if let Some(link) = door.links().choose(&mut random) {
            match random.random_range(0..3) {
                0 => link.cut(),
                1 => link.reset(),
                _ => link.blackhole(),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    witness.assert_whole(&reports);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f29_a_balancer_that_restarts_costs_nobody_anything() {
    let world = World::start().await;
    let Some(mut balancer) = Balancer::start(Kind::Nginx, &world).await else {
        return;
    };
    let visitors = Visitors::enter(&world, 100, |_| balancer.address).await;
    let witness = Witness::of(&world);
    let url = world.nats.server(0).url();
    let pushing = Pushing::start(&url, &url, 50).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    balancer.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    balancer.start_again().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ends = pushing.stop().await;
    let reports = visitors.leave(&world, &ends).await;
    witness.assert_whole(&reports);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_a_client_that_may_not_poll_says_what_a_proxy_does_to_its_websockets_and_never_polls() {
    let world = World::start().await;
    for kind in [Kind::Nginx, Kind::Haproxy] {
        let Some(balancer) = Balancer::start(kind, &world).await else {
            return;
        };
        let url = format!("ws://{}/chsk", balancer.no_upgrades);
        let builder = Pace::of_this_run().client(&url);
        let client = builder.transport(TransportChoice::Ws).spawn();
        let client = client.expect("good settings");
        let mut state = client.state();
        let told = state.wait_for(|state| state.last_error.is_some() && state.transport.is_none());
        let told = soon("it says why", told).await.expect("it lives").clone();
        assert!(!told.ever_opened, "{told:?}");
        let error = told.last_error.as_ref().expect("an error");
        assert!(error.http_status.is_some(), "{error:?}");
        client.close().await;
    }
    for node in &world.nodes {
        assert_eq!(node.metric("tengen_poll_hellos_total").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_where_a_proxy_blocks_websockets_auto_polls_within_5_s_and_loses_nothing() {
    let world = World::start().await;
    for kind in [Kind::Nginx, Kind::Haproxy] {
        let Some(balancer) = Balancer::start(kind, &world).await else {
            return;
        };
        let url = format!("ws://{}/chsk", balancer.no_upgrades);
        let cookie = world.nodes[0].log_in("user0").await;
        let builder = Pace::of_this_run().client(&url).header("cookie", &cookie);
        let client = builder.transport(TransportChoice::Auto).spawn();
        let client = client.expect("good settings");
        let mut state = client.state();
        let open = state.wait_for(|state| state.open);
        let open = within(Duration::from_secs(5), "it is open", open).await;
        let open = open.expect("it lives").clone();
        assert_eq!(open.transport, Some(Transport::Poll), "{kind:?}");
        assert!(open.downgrade.is_some(), "the state says why");
        for number in 0..20_u64 {
            let echo = client.request::<u64>("example/echo", &number);
            let echo = within(Duration::from_secs(5), "an echo", echo).await;
            assert_eq!(echo, Ok(number));
        }
        client.close().await;
    }
}
