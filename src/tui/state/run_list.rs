//! The list of runs: which of them pass the filter, and in what order.

use crate::runs::alive_silent_or_lost::Health;
use crate::runs::runs_dir::RunSummary;
use crate::tui::text_field::TextField;

/// All runs of the directory, and how they are listed.
#[derive(Clone, Debug, Default)]
pub struct RunList {
    /// Newest first.
    pub all: Vec<RunSummary>,
    /// Words that a listed run must contain.
    pub filter: TextField,
    pub order: Order,
}

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Newest,
    Name,
    /// Runs with a live worker first, then by listed state.
    State,
    /// Smallest last loss first.
    Loss,
}

impl Order {
    pub fn next(self) -> Self {
        [Self::Name, Self::State, Self::Loss, Self::Newest][self as usize]
    }

    pub fn name(self) -> &'static str {
        ["newest first", "by name", "by state", "by loss"][self as usize]
    }
}

impl RunList {
    /// The run of this id, listed or not.
    pub fn find(&self, id: &str) -> Option<&RunSummary> {
        self.all.iter().find(|run| run.id == id)
    }

    /// The runs that pass the filter, in order.
    pub fn listed(&self) -> Vec<&RunSummary> {
        let mut listed: Vec<&RunSummary> =
            self.all.iter().filter(|run| passes(run, self.filter.text())).collect();
        let loss = |run: &RunSummary| run.status.as_ref().and_then(|status| status.loss);
        // All sorts keep the order of equals, which is newest first.
        match self.order {
            Order::Newest => {}
            Order::Name => listed.sort_by(|a, b| a.id.cmp(&b.id)),
            Order::State => {
                listed.sort_by_key(|run| (run.health != Health::Alive, run.listed_state().word()))
            }
            Order::Loss => listed.sort_by(|a, b| {
                let key = |run| loss(run).unwrap_or(f64::INFINITY);
                key(a).total_cmp(&key(b))
            }),
        }
        listed
    }
}

/// Whether every word of the filter is in the run's name, state, tags or note, whatever the case.
fn passes(run: &RunSummary, filter: &str) -> bool {
    let tags: String = run.about.tags.iter().map(|tag| format!(" #{tag}")).collect();
    let state = run.listed_state().word();
    let text = format!("{} {state}{tags} {}", run.id, run.about.note).to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::control_holder::Steering;
    use crate::runs::note_and_tags::About;
    use crate::runs::run_dir::RunDir;
    use crate::runs::status_json::{RunState, Status};

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

    fn ids(list: &RunList) -> Vec<&str> {
        list.listed().into_iter().map(|run| run.id.as_str()).collect()
    }

    #[test]
    fn words_of_the_filter_narrow_and_orders_sort() {
        let all = vec![
            run("b-cnn", RunState::Finished, Health::Over, Some(0.2)),
            run("a-cnn", RunState::Training, Health::Alive, None),
            run("c-unet", RunState::Failed, Health::Over, Some(0.1)),
        ];
        let mut list = RunList { all, ..RunList::default() };
        assert_eq!(ids(&list), ["b-cnn", "a-cnn", "c-unet"]);
        list.order = Order::Name;
        assert_eq!(ids(&list), ["a-cnn", "b-cnn", "c-unet"]);
        list.order = Order::State;
        assert_eq!(ids(&list), ["a-cnn", "c-unet", "b-cnn"]);
        list.order = Order::Loss;
        assert_eq!(ids(&list), ["c-unet", "b-cnn", "a-cnn"]);
        list.filter = "CNN fin".into();
        assert_eq!(ids(&list), ["b-cnn"]);
        list.filter = "nothing".into();
        assert!(ids(&list).is_empty());
    }

    #[test]
    fn orders_come_round() {
        let mut order = Order::default();
        (0..4).for_each(|_| order = order.next());
        assert_eq!(order, Order::Newest);
    }
}
