//! Every option has a test in which it shows what it does.

use std::path::Path;

use gpdump_testkit::assert_tested;

use super::GROUPS;

/// Option and test, as `file::function`; `command_line` lies beside the program, the others run the programs on servers.
#[rustfmt::skip]
const TESTED: &[(&str, &str)] = &[
    ("-x", "several_databases::each_database_becomes_a_set_with_a_key_of_its_own"),
    ("--exclude-database", "several_databases::a_database_that_fails_does_not_stop_the_others"),
    ("--all-databases", "several_databases::a_database_that_fails_does_not_stop_the_others"),
    ("-s", "filters::schemas_come_with_all_they_hold_and_need"),
    ("--schema-file", "dump_options::schemas_are_chosen_by_word_and_by_file"),
    ("-S", "dump_options::schemas_are_chosen_by_word_and_by_file"),
    ("--exclude-schema-file", "filters::schemas_come_with_all_they_hold_and_need"),
    ("-t", "filters::tables_by_name_restore_alone_with_what_they_need"),
    ("--table-file", "filters::a_list_may_come_from_windows_and_have_anything_in_it"),
    ("-T", "filters::excluded_tables_take_along_what_cannot_be_without_them"),
    ("--exclude-table-file", "filters::a_list_may_come_from_windows_and_have_anything_in_it"),
    ("--incremental", "incremental::each_key_of_a_chain_restores_to_what_was_there"),
    ("--incremental-heap", "incremental_heap::what_changed_is_dumped_whatever_the_change_was"),
    ("--list-filter-tables", "incremental::the_filter_of_a_prefix_is_kept"),
    ("-u", "dump_restore_plain::a_set_goes_to_another_server_by_its_directory"),
    ("--prefix", "several_databases::sets_of_a_prefix_carry_it_in_every_name_and_do_not_block_others"),
    ("-K", "dump_options::a_key_of_ones_own_names_the_set_and_not_the_time"),
    ("--list-backup-files", "pipes::a_set_goes_through_pipes_and_comes_back_through_them"),
    ("--external", "external::what_could_not_be_done_is_refused_before_anything_is_and_no_secret_is_told"),
    ("--external-bucket", "external::what_could_not_be_done_is_refused_before_anything_is_and_no_secret_is_told"),
    ("--external-path", "external::what_could_not_be_done_is_refused_before_anything_is_and_no_secret_is_told"),
    ("--external-format", "external::what_could_not_be_done_is_refused_before_anything_is_and_no_secret_is_told"),
    ("--external-secrets", "external::what_could_not_be_done_is_refused_before_anything_is_and_no_secret_is_told"),
    ("--external-exclude-owner", "external::what_could_not_be_done_is_refused_before_anything_is_and_no_secret_is_told"),
    ("-z", "dump_options::the_data_directory_can_be_named_and_files_and_history_be_as_wanted"),
    ("--rsyncable", "output_options::rsync_sends_little_of_a_dump_in_which_few_rows_changed"),
    ("--list-backups", "people::json_says_what_came_of_a_run_and_the_list_knows_every_set"),
    ("-g", "around_dump::globals_and_configuration_are_files_of_the_set"),
    ("-G", "around_dump::globals_and_configuration_are_files_of_the_set"),
    ("--dump-stats", "around_dump::saved_statistics_are_sql_that_brings_them_back"),
    ("-C", "output_options::a_set_with_drops_goes_over_a_full_database_and_into_a_new_one"),
    ("-E", "output_options::rows_in_another_encoding_come_back"),
    ("--clean", "output_options::a_set_with_drops_goes_over_a_full_database_and_into_a_new_one"),
    ("--inserts", "inserts::everything_comes_back_from_statements"),
    ("--column-inserts", "inserts::every_kind_of_value_and_of_column_comes_back"),
    ("--oids", "inserts::rows_come_back_with_their_object_ids"),
    ("--no-owner", "output_options::owners_and_privileges_are_left_out"),
    ("--no-privileges", "output_options::owners_and_privileges_are_left_out"),
    ("--use-set-session-authorization", "output_options::owners_come_back_by_session_authorization"),
    ("-j", "around_dump::vacuum_runs_before_and_after"),
    ("-k", "around_dump::vacuum_runs_before_and_after"),
    ("-c", "cleanup::the_oldest_date_goes_everywhere_after_a_good_dump"),
    ("-o", "cleanup::without_a_dump_the_named_and_the_oldest_go_and_strangers_stay"),
    ("--cleanup-date", "cleanup::without_a_dump_the_named_and_the_oldest_go_and_strangers_stay"),
    ("--cleanup-total", "cleanup::without_a_dump_the_named_and_the_oldest_go_and_strangers_stay"),
    ("--dry-run", "cleanup::without_a_dump_the_named_and_the_oldest_go_and_strangers_stay"),
    ("--force", "cleanup::what_an_incremental_dump_needs_stays_unless_forced"),
    ("-r", "around_dump::a_failed_dump_is_taken_back_on_every_host_and_nothing_else_is"),
    ("-H", "dump_options::the_data_directory_can_be_named_and_files_and_history_be_as_wanted"),
    ("-h", "dump_options::the_data_directory_can_be_named_and_files_and_history_be_as_wanted"),
    ("--through-master", "through_master::a_role_that_only_reads_saves_all_of_a_plain_server"),
    ("--jobs", "through_master::a_role_that_only_reads_saves_all_of_a_plain_server"),
    ("-R", "around_dump::the_program_of_r_runs_once_with_its_arguments_and_its_status_counts"),
    ("--email-file", "around_dump::mails_are_sent_for_good_and_for_failed_dumps"),
    ("-a", "dump_restore_cluster::the_console_says_what_the_originals_said_in_their_order"),
    ("-d", "dump_options::the_data_directory_can_be_named_and_files_and_history_be_as_wanted"),
    ("-B", "dump_options::the_data_directory_can_be_named_and_files_and_history_be_as_wanted"),
    ("-b", "dump_options::the_question_shows_what_will_be_done"),
    ("-f", "dump_options::the_question_shows_what_will_be_done"),
    ("--cut-timeout", "cut::without_a_moment_for_the_lock_the_dump_says_what_it_is_and_who_was_in_the_way"),
    ("--connect-timeout", "faults::every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind"),
    ("--silence-timeout", "faults::every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind"),
    ("--lock-timeout", "faults::every_fault_ends_in_time_with_a_true_status_and_nothing_left_behind"),
    ("--remote-bin", "dump_options::the_program_of_other_hosts_lies_where_it_is_said_to"),
    ("-v", "dump_options::what_is_said_and_where"),
    ("-q", "dump_options::what_is_said_and_where"),
    ("-l", "dump_options::what_is_said_and_where"),
    ("--json", "people::json_says_what_came_of_a_run_and_the_list_knows_every_set"),
    ("--help", "dump_options::what_is_said_and_where"),
    ("--version", "command_line::version_and_usage_errors_are_as_ever"),
    ("--ddboost", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--replicate", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--max-streams", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-host", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-user", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-backupdir", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-remote", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-storage-unit", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-config-remove", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-verify", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-skip-ping", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--ddboost-show-config", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--netbackup-service-host", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--netbackup-policy", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--netbackup-schedule", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--netbackup-block-size", "command_line::what_needs_a_vendors_library_is_refused"),
    ("--netbackup-keyword", "command_line::what_needs_a_vendors_library_is_refused"),
    ("-y", "dump_options::options_of_4_3_are_taken"),
    ("-w", "dump_options::options_of_4_3_are_taken"),
    ("-i", "dump_options::options_of_4_3_are_taken"),
    ("-p", "dump_options::options_of_4_3_are_taken"),
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
