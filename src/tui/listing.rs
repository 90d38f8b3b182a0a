//! Which runs the list shows, and in what order.

use super::app::App;
use super::words::run_state;
use crate::runs::liveness::Health;
use crate::runs::runs_dir::RunSummary;

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Newest,
    Name,
    /// Those at work first.
    State,
    /// The smallest last loss first.
    Loss,
}

impl Order {
    pub fn next(self) -> Self {
        match self {
            Self::Newest => Self::Name,
            Self::Name => Self::State,
            Self::State => Self::Loss,
            Self::Loss => Self::Newest,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Newest => "newest first",
            Self::Name => "by name",
            Self::State => "by state",
            Self::Loss => "by loss",
        }
    }
}

impl App {
    /// The runs that pass the filter, in order.
    pub fn shown(&self) -> Vec<&RunSummary> {
        let mut shown: Vec<&RunSummary> =
            self.runs.iter().filter(|run| passes(run, self.filter.text())).collect();
        let loss = |run: &RunSummary| run.status.as_ref().and_then(|status| status.loss);
        // All sorts keep the order of equals, which is newest first.
        match self.order {
            Order::Newest => {}
            Order::Name => shown.sort_by(|a, b| a.id.cmp(&b.id)),
            Order::State => shown.sort_by_key(|run| (run.health != Health::Alive, run_state(run))),
            Order::Loss => shown.sort_by(|a, b| {
                let key = |run| loss(run).unwrap_or(f64::INFINITY);
                key(a).total_cmp(&key(b))
            }),
        }
        shown
    }
}

/// Whether every word of the filter is in the run's name, state, tags or note, whatever the case.
fn passes(run: &RunSummary, filter: &str) -> bool {
    let tags: String = run.about.tags.iter().map(|tag| format!(" #{tag}")).collect();
    let text = format!("{} {}{tags} {}", run.id, run_state(run), run.about.note).to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::about::About;
    use crate::runs::holder::Steering;
    use crate::runs::run_dir::RunDir;
    use crate::runs::status::{RunState, Status};

    fn run(id: &str, state: RunState, health: Health, loss: Option<f64>) -> RunSummary {
        let status = Status { loss, ..Status::new(state, 1) };
        RunSummary {
            id: id.into(),
            dir: RunDir::open(id),
            status: Some(status),
            health,
            experiment: id.into(),
            created_ms: 0,
            about: About::default(),
            steering: Steering::Free,
            newer: None,
        }
    }

    fn ids(app: &App) -> Vec<&str> {
        app.shown().into_iter().map(|run| run.id.as_str()).collect()
    }

    #[test]
    fn words_of_the_filter_narrow_and_orders_sort() {
        let mut app = App::new(Vec::new(), String::new());
        app.runs = vec![
            run("b-cnn", RunState::Finished, Health::Over, Some(0.2)),
            run("a-cnn", RunState::Training, Health::Alive, None),
            run("c-unet", RunState::Failed, Health::Over, Some(0.1)),
        ];
        assert_eq!(ids(&app), ["b-cnn", "a-cnn", "c-unet"]);
        app.order = Order::Name;
        assert_eq!(ids(&app), ["a-cnn", "b-cnn", "c-unet"]);
        app.order = Order::State;
        assert_eq!(ids(&app), ["a-cnn", "c-unet", "b-cnn"]);
        app.order = Order::Loss;
        assert_eq!(ids(&app), ["c-unet", "b-cnn", "a-cnn"]);
        app.filter = "CNN fin".into();
        assert_eq!(ids(&app), ["b-cnn"]);
        app.filter = "nothing".into();
        assert!(ids(&app).is_empty());
    }

    #[test]
    fn orders_come_round() {
        let mut order = Order::default();
        (0..4).for_each(|_| order = order.next());
        assert_eq!(order, Order::Newest);
    }
}
