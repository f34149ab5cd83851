//! The words that stand behind `Type:`.

use std::fmt;

macro_rules! entry_kinds {
    ($($variant:ident = $word:literal,)*) => {
        /// What an entry of a dump file is about.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EntryKind {
            $($variant,)*
            /// A word that no server known to us prints.
            Other(String),
        }

        impl EntryKind {
            pub fn parse(word: &str) -> Self {
                match word {
                    $($word => EntryKind::$variant,)*
                    other => EntryKind::Other(other.to_owned()),
                }
            }

            pub fn as_str(&self) -> &str {
                match self {
                    $(EntryKind::$variant => $word,)*
                    EntryKind::Other(word) => word,
                }
            }
        }
    };
}

entry_kinds! {
    AccessMethod = "ACCESS METHOD",
    Acl = "ACL",
    Aggregate = "AGGREGATE",
    AoStorageOptions = "AOSTORAGEOPTS",
    BlobComments = "BLOB COMMENTS",
    Blobs = "BLOBS",
    Cast = "CAST",
    CheckConstraint = "CHECK CONSTRAINT",
    Collation = "COLLATION",
    Comment = "COMMENT",
    Constraint = "CONSTRAINT",
    Conversion = "CONVERSION",
    Database = "DATABASE",
    DatabaseProperties = "DATABASE PROPERTIES",
    Default = "DEFAULT",
    DefaultAcl = "DEFAULT ACL",
    Domain = "DOMAIN",
    EventTrigger = "EVENT TRIGGER",
    Extension = "EXTENSION",
    ExternalTable = "EXTERNAL TABLE",
    FkConstraint = "FK CONSTRAINT",
    ForeignDataWrapper = "FOREIGN DATA WRAPPER",
    ForeignTable = "FOREIGN TABLE",
    Function = "FUNCTION",
    Index = "INDEX",
    IndexAttach = "INDEX ATTACH",
    MaterializedView = "MATERIALIZED VIEW",
    MaterializedViewData = "MATERIALIZED VIEW DATA",
    Operator = "OPERATOR",
    OperatorClass = "OPERATOR CLASS",
    OperatorFamily = "OPERATOR FAMILY",
    Policy = "POLICY",
    ProceduralLanguage = "PROCEDURAL LANGUAGE",
    Procedure = "PROCEDURE",
    Protocol = "PROTOCOL",
    Publication = "PUBLICATION",
    PublicationTable = "PUBLICATION TABLE",
    PublicationTablesInSchema = "PUBLICATION TABLES IN SCHEMA",
    RowSecurity = "ROW SECURITY",
    Rule = "RULE",
    Schema = "SCHEMA",
    SecurityLabel = "SECURITY LABEL",
    Sequence = "SEQUENCE",
    SequenceOwnedBy = "SEQUENCE OWNED BY",
    SequenceSet = "SEQUENCE SET",
    Server = "SERVER",
    ShellType = "SHELL TYPE",
    Statistics = "STATISTICS",
    StatisticsData = "STATISTICS DATA",
    Subscription = "SUBSCRIPTION",
    SubscriptionTable = "SUBSCRIPTION TABLE",
    Table = "TABLE",
    TableAttach = "TABLE ATTACH",
    TableData = "TABLE DATA",
    TextSearchConfiguration = "TEXT SEARCH CONFIGURATION",
    TextSearchDictionary = "TEXT SEARCH DICTIONARY",
    TextSearchParser = "TEXT SEARCH PARSER",
    TextSearchTemplate = "TEXT SEARCH TEMPLATE",
    Transform = "TRANSFORM",
    Trigger = "TRIGGER",
    Type = "TYPE",
    TypeStorageOptions = "TYPE STORAGE OPTIONS",
    UserMapping = "USER MAPPING",
    View = "VIEW",
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EntryKind {
    /// A relation that a table filter may name.
    pub fn is_relation(&self) -> bool {
        matches!(
            self,
            EntryKind::Table
                | EntryKind::ExternalTable
                | EntryKind::ForeignTable
                | EntryKind::View
                | EntryKind::MaterializedView
                | EntryKind::Sequence
        )
    }

    /// Every server dumps it behind the data: it needs the rows, or the rows load faster without it.
    pub fn is_post_data(&self) -> bool {
        matches!(
            self,
            EntryKind::Constraint
                | EntryKind::CheckConstraint
                | EntryKind::FkConstraint
                | EntryKind::Index
                | EntryKind::IndexAttach
                | EntryKind::Rule
                | EntryKind::Trigger
                | EntryKind::EventTrigger
                | EntryKind::Statistics
                | EntryKind::StatisticsData
                | EntryKind::Policy
                | EntryKind::RowSecurity
                | EntryKind::Publication
                | EntryKind::PublicationTable
                | EntryKind::PublicationTablesInSchema
                | EntryKind::Subscription
                | EntryKind::SubscriptionTable
                | EntryKind::DefaultAcl
                | EntryKind::MaterializedViewData
        )
    }
}
