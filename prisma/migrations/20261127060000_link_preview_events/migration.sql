-- A preview of a link was added to a message, or removed from it.
ALTER TYPE "EventKind" ADD VALUE 'LINK_PREVIEWS_CHANGED';
