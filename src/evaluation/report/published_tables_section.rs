//! The part "Published tables" of a report: the table of a paper that its figures can stand beside, or what keeps them from it.

use serde_json::{Value, json};

use super::units_of_papers_section::MachineInPaperUnits;
use crate::analysis::agreement_over_seeds::PaperFigure;
use crate::evaluation::markdown_table::{Table, cell};
use crate::evaluation::published_tables::{
    Conditions, PublishedRow, PublishedTable, TABLES, table_of,
};

/// The table of a report's data set, and what keeps the report from standing beside it.
pub struct PublishedBeside {
    table: Option<&'static PublishedTable>,
    differences: Vec<String>,
}

impl PublishedBeside {
    pub fn new(conditions: &Conditions<'_>) -> Self {
        let table = table_of(conditions);
        let differences = table.map_or_else(Vec::new, |table| table.differences(conditions));
        Self { table, differences }
    }

    /// The part of the page.
    pub fn section(&self, machines: &[MachineInPaperUnits<'_>]) -> String {
        let Some(table) = self.table else {
            let sets: Vec<&str> = TABLES.iter().map(|table| table.data_set).collect();
            return format!(
                "Published tables: none at hand is of this data set; {} has {}, recognised by the shape of the images and the name of their files (docs/theory.md, section 17).\n\n",
                TABLES[0].paper,
                sets.join(", ")
            );
        };
        if !self.differences.is_empty() {
            return format!(
                "Published tables: {} has one of {}. This report cannot stand beside it yet: {}.\n\n",
                table.paper,
                table.data_set,
                self.differences.join("; ")
            );
        }
        let head = [
            "published method",
            "published R^2",
            "published MSE, [0, 1]",
            "published s a step",
            "machine here",
            "mean R^2 here",
            "mean MSE, [0, 1], here",
        ];
        let mut rows = Table::new("", &head);
        for row in table.rows {
            let here = here(row, machines);
            let mean = |figure: PaperFigure, decimals: usize| {
                let over = here.and_then(|machine| machine.samples.get(figure)?.mean);
                cell(over.map(|mean| format!("{:.decimals$}", mean.estimate)))
            };
            rows.rows.push(vec![
                row.method.to_owned(),
                format!("{:.3}", row.cod),
                format!("{:.3}", row.mse01),
                format!("{:.3}", row.seconds),
                cell(here.map(|machine| machine.name)),
                mean(PaperFigure::Cod, 3),
                mean(PaperFigure::MseOfUnitRange, 4),
            ]);
        }
        format!(
            "Published tables: {} on {}, {} samples of {} steps, target: {}. **Published figures, not measured here** ({}): their network, noise schedule and preprocessing are others, and their seconds are of a GPU.\n\n{}\n",
            table.paper,
            table.data_set,
            table.n_samples,
            table.sampling_steps,
            table.network,
            table.source,
            rows.markdown()
        )
    }

    /// The same in `report.json`; null without a table of this data set.
    pub fn to_json(&self, machines: &[MachineInPaperUnits<'_>]) -> Value {
        let Some(table) = self.table else { return Value::Null };
        let row = |row: &PublishedRow| {
            json!({
                "method": row.method,
                "R2": row.cod,
                "mse01": row.mse01,
                "seconds": row.seconds,
                "machine": here(row, machines).map(|machine| machine.name),
            })
        };
        json!({
            "paper": table.paper,
            "source": table.source,
            "data_set": table.data_set,
            "sampling_steps": table.sampling_steps,
            "samples": table.n_samples,
            "network": table.network,
            "differences": self.differences,
            "rows": table.rows.iter().map(row).collect::<Vec<Value>>(),
        })
    }
}

/// The machine of this report that stands for a published method.
fn here<'a, 'b>(
    row: &PublishedRow,
    machines: &'a [MachineInPaperUnits<'b>],
) -> Option<&'a MachineInPaperUnits<'b>> {
    let mut named =
        row.machines.iter().map(|name| machines.iter().find(|machine| machine.name == *name));
    named.find_map(|found| found)
}
