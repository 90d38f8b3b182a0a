//! Writes a report into a folder.

use std::io;
use std::path::Path;

use super::report_figures::{Report, SHEET_ROWS};
use super::{
    charts, controls_section, csv, interventions_section, json, markdown, over_training_section,
    report_samples,
};
use crate::config::noise_seed_purposes::NoiseSeeds;
use crate::evaluation::chart_panels::{self, Panel};
use crate::evaluation::floors::floors_chart::FloorsChart;
use crate::files::{make_folder, write_output};
use crate::image::{contact_sheet, picture_file};

impl Report<'_> {
    /// Writes all files of the report into `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        make_folder(folder)?;
        let put = |name: &str, text: String| write_output(&folder.join(name), text.as_bytes());
        let draw = |name: &str, panels: &[Panel]| {
            chart_panels::write_png_and_svg(panels, 2, folder, name).map_err(io::Error::other)
        };
        let json = json::to_json(self);
        put("agreement.csv", csv::agreement(self))?;
        put("rates.csv", csv::rates(self))?;
        put("by_step.csv", csv::by_step(self))?;
        put("predicted_attention.csv", csv::predicted_attention(self))?;
        put("controls.csv", controls_section::csv(&self.controls))?;
        put("clamp.csv", self.clamp.csv())?;
        put("units_of_papers.csv", self.paper_units.csv())?;
        if let Some(floors) = self.context.floors {
            put("floors.csv", csv::floors(floors))?;
            let schedule = self.context.experiment.schedule;
            if let Some(chart) = FloorsChart::new(&[&json], schedule) {
                draw("floors", &chart.panels(""))?;
            }
        }
        let over_training = self.context.over_training;
        if !over_training.is_empty() {
            put("over_training.csv", over_training_section::csv(over_training))?;
            put("copies_over_training.csv", over_training_section::copies_csv(over_training))?;
            let panels = over_training_section::panels(over_training);
            draw("over_training", &panels)?;
        }
        if let Some(found) = self.context.interventions {
            put("interventions.csv", interventions_section::csv(found))?;
            let panels = interventions_section::panels(found);
            draw("interventions", &panels)?;
        }
        draw("agreement", &charts::panels(self))?;
        put("report.md", markdown::page(self))?;
        let samples = &self.comparison.samples;
        let sheet = contact_sheet::with_differences(
            (NoiseSeeds::held_out(samples.seeds.len()).first(), &samples.seeds),
            &samples.network,
            &samples.machines,
            SHEET_ROWS,
        );
        picture_file::write(&sheet, &folder.join("samples.png"))?;
        report_samples::write(self, folder)?;
        // Last: whoever finds it finds the others.
        put("report.json", format!("{:#}\n", json))?;
        Ok(())
    }
}
