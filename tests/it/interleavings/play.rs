//! One schedule: its actors act on a copy of a lake, and then everything is looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use object_store::ObjectStore;
use tributary::lake::{BatchName, Repairs};
use tributary::{Engine, EngineOptions};

use super::gate::Gate;
use super::model::{Action, Model, Outcome, STORE, erase, orders, perform};
use super::schedule::{Length, Plan, Trace, run};
use crate::objects::{Objects, faults_of_logs, naming, objects, store_of, version_of_batch};
use crate::support::sql;

/// A lake to begin with, and its model.
#[derive(Debug, Clone, Default)]
pub struct Base {
    pub objects: Objects,
    pub model: Model,
}

/// Actors over a lake.
#[derive(Debug)]
pub struct Scenario {
    pub base: Base,
    pub actions: Vec<Action>,
    pub keep_versions_for: Duration,
}

pub async fn open(store: Arc<dyn ObjectStore>, keep_versions_for: Duration) -> Engine {
    let options =
        EngineOptions { background_compaction: false, keep_versions_for, ..EngineOptions::default() };
    Engine::open_in(store, options).await.expect("an engine opens")
}

/// Tells the gate, however an actor ends.
struct Finish(Arc<Gate>, usize);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish(self.1);
    }
}

/// Plays one schedule; says how many calls each actor made, or what is wrong.
pub async fn play(scenario: Arc<Scenario>, plan: Plan) -> Result<Vec<Length>, String> {
    let trace = Arc::new(Mutex::new(Trace::default()));
    let played = std::panic::AssertUnwindSafe(try_play(&scenario, &plan, &trace)).catch_unwind().await;
    let failure = match played {
        Ok(Ok(())) => {
            let trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok((0..scenario.actions.len()).map(|actor| trace.length(actor)).collect());
        }
        Ok(Err(failure)) => failure,
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned()),
    };
    let trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
    Err(format!("{failure}\n{plan:?}\n{trace}"))
}

async fn try_play(scenario: &Scenario, plan: &Plan, trace: &Arc<Mutex<Trace>>) -> Result<(), String> {
    let inner = store_of(&scenario.base.objects).await;
    let gate = Arc::new(Gate::default());
    let mut engines = Vec::new();
    for actor in 0..scenario.actions.len() {
        let engine = open(Arc::new(gate.handle(&inner, actor)), scenario.keep_versions_for).await;
        // Each process knows the lake as it is before the others act.
        engine.stores().await.map_err(|error| format!("{error:?}"))?;
        engines.push(engine);
    }
    gate.close(engines.len());
    let mut actors = Vec::new();
    for (actor, (engine, action)) in engines.into_iter().zip(scenario.actions.clone()).enumerate() {
        let finish = Finish(gate.clone(), actor);
        actors.push(tokio::spawn(async move {
            let _finish = finish;
            let outcome = perform(&engine, &action).await;
            // A checkpoint may still be under way.
            engine.close().await.expect("an engine closes");
            outcome
        }));
    }
    let moved = tokio::time::timeout(Duration::from_secs(40), run(&gate, plan, trace)).await;
    gate.open();
    moved.map_err(|_| "the actors hang".to_owned())?;
    let mut outcomes = Vec::new();
    for actor in actors {
        outcomes.push(actor.await.map_err(|error| error.to_string())?);
    }
    check(scenario, &inner, &outcomes, &|a, b| trace.lock().unwrap().is_before(a, b)).await
}

/// Compares the lake with the model, and looks for what may not be there.
async fn check(
    scenario: &Scenario,
    inner: &Arc<dyn ObjectStore>,
    outcomes: &[Outcome],
    is_before: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Result<(), String> {
    let engine = open(inner.clone(), scenario.keep_versions_for).await;
    let found = orders(&engine).await.map_err(|error| format!("{error:?}; {outcomes:?}"))?;
    let actions: Vec<_> = scenario.actions.iter().zip(outcomes).collect();
    if !scenario.base.model.explains(&actions, &found, is_before) {
        return Err(format!("no order of the actions explains {outcomes:?} and {found:?}"));
    }
    let left = objects(inner).await;
    for (action, _) in &actions {
        if let Action::Land(key, _) = action
            && version_of_batch(&left, "orders", &BatchName::new(STORE, "orders", Some(key)).batch_id)
                .is_none()
        {
            return Err(format!("{key} is not in the log; {outcomes:?}"));
        }
    }
    check_objects(&left, &engine).await?;
    if scenario.actions.iter().any(|action| matches!(action, Action::Erase(_) | Action::Nightly)) {
        check_journeys(&engine).await?;
    }
    for (action, outcome) in &actions {
        let (Action::Erase(customer), Outcome::Erased { rows_left }) = (action, outcome) else { continue };
        let is_back = found.values().any(|(of, _)| of == customer);
        if *rows_left > 0 && !is_back {
            return Err(format!("{rows_left} rows of {customer} are said to be left"));
        }
        if is_back {
            erase(&engine, customer).await.map_err(|error| format!("{error:?}"))?;
        }
        let left = naming(&objects(inner).await, customer);
        if !left.is_empty() {
            return Err(format!("{customer} is erased and in {left:?}; {outcomes:?}"));
        }
    }
    Ok(())
}

/// Looks for damage: in the logs from outside, and in all files by fsck.
async fn check_objects(objects: &Objects, engine: &Engine) -> Result<(), String> {
    let faults = faults_of_logs(objects);
    let fsck = engine.fsck(true, Repairs::default()).await.map_err(|error| format!("{error:?}"))?;
    if faults.is_empty() && fsck.findings.is_empty() {
        return Ok(());
    }
    Err(format!("{faults:?} {:?}", fsck.findings))
}

/// Compares the table `journeys` with the function that computes it.
pub async fn check_journeys(engine: &Engine) -> Result<(), String> {
    let columns = "order_id, entry_id, touch_id, customer_id, amount, linear_credit";
    let rows = |relation: &str| format!("select {columns} from {relation} order by 1, 2, 3");
    let kept = sql(engine, STORE, &rows("journeys")).await;
    let function = "journeys(include_refused => true, refused_days => 1)";
    let computed = sql(engine, STORE, &rows(function)).await;
    if kept == computed { Ok(()) } else { Err(format!("journeys: {kept:?} and not {computed:?}")) }
}
