//! `tributary doctor`: is everything that a lake needs as it has to be? In: the settings. Out: a line for each check. It
//! changes nothing, and deletes what it wrote in order to look.

mod command;

mod data_folder;
mod lake;
mod machine;
mod report;
mod settings;
mod storage;

pub use command::{DoctorArgs, run};
