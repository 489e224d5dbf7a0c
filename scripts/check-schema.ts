/** Runs all checks of the schema in one process, because loading the schema takes most of their time. */
import './schema.ts';
import './check-surface.ts';
import './check-compatibility.ts';
