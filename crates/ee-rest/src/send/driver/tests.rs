use std::future::poll_fn;
use std::sync::atomic::AtomicBool;

use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// Polls a future once.
async fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let mut future = Some(future);
    poll_fn(|cx| Poll::Ready(future.take().unwrap().poll(cx))).await
}

/// A flag that is set when the call ends or is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn polled_call_runs_in_no_task() {
    let driver = Driver::new();
    let call = driver.run(async {
        for _ in 0..100 {
            sleep(CHECK_INTERVAL / 3).await;
            yield_now().await;
        }
        // The checks alone.
        assert_eq!(tasks(), 1);
        Ok(7)
    });
    assert_eq!(call.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_woken_but_not_polled_is_taken_over() {
    let driver = Driver::new();
    for wake_ups in [1, 2, 10] {
        let ended = Arc::new(AtomicBool::new(false));
        let guard = Guard(ended.clone());
        let mut call = Box::pin(driver.run(async move {
            let _guard = guard;
            for _ in 0..wake_ups {
                sleep(Duration::from_millis(1)).await;
            }
            Ok(wake_ups)
        }));
        assert!(poll_once(call.as_mut()).await.is_pending());
        sleep(4 * CHECK_INTERVAL).await;
        assert!(ended.load(Ordering::Relaxed), "{wake_ups}");
        assert_eq!(call.await.unwrap(), wake_ups);
    }
}

#[tokio::test(start_paused = true)]
async fn call_that_waits_is_not_taken_over() {
    let driver = Driver::new();
    let (sender, receiver) = oneshot::channel();
    let mut call = Box::pin(driver.run(async { receiver.await.map_err(|_| runtime_ended()) }));
    assert!(poll_once(call.as_mut()).await.is_pending());
    sleep(LONG).await;
    assert_eq!(tasks(), 1);
    sender.send(7).unwrap();
    assert_eq!(call.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_cancels_the_call() {
    let driver = Driver::new();
    for wait in [Duration::ZERO, 4 * CHECK_INTERVAL] {
        let ended = Arc::new(AtomicBool::new(false));
        let guard = Guard(ended.clone());
        let mut call = Box::pin(driver.run(async move {
            let _guard = guard;
            sleep(Duration::from_millis(1)).await;
            std::future::pending::<()>().await;
            Ok(())
        }));
        assert!(poll_once(call.as_mut()).await.is_pending());
        sleep(wait).await;
        drop(call);
        yield_now().await;
        assert!(ended.load(Ordering::Relaxed), "after {wait:?}");
        assert!(!lock(&driver.places).has_calls());
    }
}

#[tokio::test(start_paused = true)]
async fn panic_reaches_the_caller_of_a_call_that_was_taken_over() {
    let mut call = Box::pin(async {
        let driver = Driver::<()>::new();
        let call = async {
            sleep(Duration::from_millis(1)).await;
            panic!("in the call");
        };
        driver.run(call).await
    });
    assert!(poll_once(call.as_mut()).await.is_pending());
    sleep(4 * CHECK_INTERVAL).await;
    let panic = tokio::spawn(call).await.unwrap_err();
    let panic = panic.into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"in the call"));
}

#[tokio::test(start_paused = true)]
async fn places_are_reused_and_late_wake_ups_do_no_harm() {
    let driver = Driver::new();
    let waker = Arc::new(Mutex::new(None));
    let saved = waker.clone();
    let first = driver.run(poll_fn(move |cx| {
        *lock(&saved) = Some(cx.waker().clone());
        Poll::Ready(Ok(1))
    }));
    assert_eq!(first.await.unwrap(), 1);
    let mut second = Box::pin(driver.run(async {
        sleep(LONG).await;
        Ok(2)
    }));
    assert!(poll_once(second.as_mut()).await.is_pending());
    let late: Waker = lock(&waker).take().unwrap();
    late.wake();
    assert_eq!(lock(&driver.places).all.len(), 1);
    assert_eq!(second.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn checks_end_without_calls_and_begin_with_the_next() {
    let driver = Driver::new();
    for _ in 0..3 {
        driver.run(async { Ok(()) }).await.unwrap();
        assert_eq!(tasks(), 1);
        sleep(CHECK_INTERVAL * (IDLE_CHECKS + 2)).await;
        assert_eq!(tasks(), 0);
    }
    driver.run(async { Ok(()) }).await.unwrap();
    drop(driver);
    sleep(2 * CHECK_INTERVAL).await;
    assert_eq!(tasks(), 0);
}

#[test]
fn another_runtime_checks_if_the_first_does_not_run() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let driver = Driver::new();
    let (stopped, running) = (runtime(), runtime());
    stopped.block_on(driver.run(async { Ok(true) })).unwrap();
    std::thread::sleep(MAX_CHECK_DELAY + CHECK_INTERVAL);
    let ended = Arc::new(AtomicBool::new(false));
    let guard = Guard(ended.clone());
    running.block_on(async {
        let mut call = Box::pin(driver.run(async move {
            let _guard = guard;
            sleep(Duration::from_millis(1)).await;
            Ok(true)
        }));
        assert!(poll_once(call.as_mut()).await.is_pending());
        while !ended.load(Ordering::Relaxed) {
            sleep(CHECK_INTERVAL).await;
        }
        assert!(call.await.unwrap());
    });
    stopped.block_on(async {
        while tasks() > 0 {
            sleep(CHECK_INTERVAL).await;
        }
    });
}

#[test]
fn call_without_a_runtime_is_an_error() {
    let driver = Driver::<()>::new();
    let mut call = Box::pin(driver.run(async { Ok(()) }));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(error)) = call.as_mut().poll(&mut cx) else {
        panic!("a result without a runtime");
    };
    assert_eq!(error.kind(), ErrorKind::Usage);
}
