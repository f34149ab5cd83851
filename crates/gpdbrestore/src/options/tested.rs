//! Every option has a test in which it shows what it does.

use std::path::Path;

use gpdump_testkit::assert_tested;

use super::GROUPS;

/// Option and test, as `file::function`; `command_line` lies beside the program, the others run the programs on servers.
#[rustfmt::skip]
const TESTED: &[(&str, &str)] = &[
    ("-t", "restore_options::every_row_of_the_catalogue_is_said_and_nothing_is_changed"),
    ("-b", "restore_tables::the_newest_whole_set_of_a_database_is_found_and_a_date_asks"),
    ("-s", "restore_tables::the_newest_whole_set_of_a_database_is_found_and_a_date_asks"),
    ("-R", "restore_remote::a_set_comes_from_another_host_into_its_places_and_is_restored"),
    ("-u", "dump_restore_plain::a_set_goes_to_another_server_by_its_directory"),
    ("--storage", "storage::a_set_in_a_bucket_is_listed_verified_and_restored_whole_and_by_table"),
    ("--storage-credentials", "storage::secrets_are_nowhere_to_be_read"),
    ("--storage-endpoint", "storage::a_table_costs_a_table"),
    ("--storage-path-style", "storage::a_server_that_knows_paths_only_is_spoken_to_in_paths"),
    ("--prefix", "restore_options::every_row_of_the_catalogue_is_said_and_nothing_is_changed"),
    ("--external", "external::rows_in_a_storage_are_not_passed_over_by_a_restore_that_cannot_read_them"),
    ("--external-bucket", "external::rows_in_a_storage_are_not_passed_over_by_a_restore_that_cannot_read_them"),
    ("--external-secrets", "external::rows_in_a_storage_are_not_passed_over_by_a_restore_that_cannot_read_them"),
    ("-T", "restore_tables::a_dropped_table_comes_back_whole"),
    ("--table-file", "restore_tables::a_dropped_table_comes_back_whole"),
    ("-S", "restore_tables::a_schema_comes_back_with_everything_in_it"),
    ("-m", "restore_tables::definitions_come_without_rows"),
    ("--noplan", "incremental::each_key_of_a_chain_restores_to_what_was_there"),
    ("-G", "restore_extras::roles_come_back_with_their_passwords_which_nobody_reads"),
    ("--restore-stats", "restore_extras::the_planner_knows_what_it_knew"),
    ("-L", "restore_tables::the_lines_are_those_of_the_originals"),
    ("--list-backup", "restore_options::every_row_of_the_catalogue_is_said_and_nothing_is_changed"),
    ("--verify", "verify::one_damaged_table_is_named_and_the_others_can_be_restored"),
    ("-e", "restore_options::what_is_said_and_where"),
    ("--redirect", "restore_tables::a_table_goes_into_an_empty_database_with_what_it_needs"),
    ("--change-schema", "restore_tables::tables_go_to_another_schema_with_all_that_is_theirs"),
    ("--truncate", "restore_tables::rows_are_added_to_a_table_that_is_there_or_replace_its_rows"),
    ("--noanalyze", "restore_options::counters_of_the_master_are_left_alone_when_asked"),
    ("--noaostats", "restore_options::counters_of_the_master_are_left_alone_when_asked"),
    ("-a", "restore_options::what_is_said_and_where"),
    ("--stop-on-error", "restore_errors::tables_that_were_refused_are_listed_for_a_second_try"),
    ("--jobs", "restore_errors::indexes_are_made_at_the_same_time_as_far_as_asked"),
    ("--through-master", "through_master::a_cluster_is_saved_and_filled_through_its_master_alone"),
    ("--resume", "resume::whole_tables_stay_and_all_others_are_loaded_again"),
    ("--no-disk-space-check", "restore_tables::what_the_disks_have_no_room_for_is_refused_before_anything_is_changed"),
    ("--dry-run", "restore_extras::a_dry_run_says_all_and_changes_nothing"),
    ("-d", "restore_options::reports_go_where_they_are_wanted_and_the_data_directory_can_be_named"),
    ("-B", "restore_options::reports_go_where_they_are_wanted_and_the_data_directory_can_be_named"),
    ("--report-status-dir", "restore_options::reports_go_where_they_are_wanted_and_the_data_directory_can_be_named"),
    ("--connect-timeout", "faults::every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind"),
    ("--silence-timeout", "faults::every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind"),
    ("--lock-timeout", "faults::every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind"),
    ("--remote-bin", "restore_options::the_program_of_other_hosts_lies_where_it_is_said_to"),
    ("-v", "restore_options::what_is_said_and_where"),
    ("-q", "restore_options::what_is_said_and_where"),
    ("-l", "restore_options::what_is_said_and_where"),
    ("--json", "people::json_says_what_came_of_a_run_and_the_list_knows_every_set"),
    ("-K", "restore_options::reports_go_where_they_are_wanted_and_the_data_directory_can_be_named"),
    ("--help", "restore_options::what_is_said_and_where"),
    ("--version", "command_line::version_and_usage_errors_are_as_ever"),
    ("--no-validate-table-name", "restore_options::reports_go_where_they_are_wanted_and_the_data_directory_can_be_named"),
    ("--ddboost", "command_line::each_kind_of_refusal_has_the_frame_of_the_original"),
    ("--ddboost-storage-unit", "command_line::each_kind_of_refusal_has_the_frame_of_the_original"),
    ("--netbackup-service-host", "command_line::each_kind_of_refusal_has_the_frame_of_the_original"),
    ("--netbackup-block-size", "command_line::each_kind_of_refusal_has_the_frame_of_the_original"),
];

#[test]
fn every_option_is_shown_at_work_by_a_test() {
    let options: Vec<&[&str]> = GROUPS
        .iter()
        .flat_map(|group| group.options)
        .map(|option| option.names)
        .collect();
    assert_tested(&options, TESTED, Path::new(env!("CARGO_MANIFEST_DIR")));
}
