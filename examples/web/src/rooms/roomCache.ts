import { HomeDocument, type HomeQuery } from '../../generated/graphql.ts';
import type { Session } from '../session.ts';
import type { Room } from '../types.ts';

type Edge = NonNullable<HomeQuery['viewer']>['chatrooms']['edges'][number];

/** Puts a room into the list, if it is not there; the list sorts itself. */
export function listRoom(session: Session, room: Room): void {
  changeRooms(session, (edges) =>
    edges.some(({ node }) => node.id === room.id)
      ? edges
      : [{ __typename: 'ChatroomEdge', cursor: '', node: { __typename: 'Chatroom', ...room } }, ...edges],
  );
}

export function forgetRoom(session: Session, roomId: string): void {
  changeRooms(session, (edges) => edges.filter(({ node }) => node.id !== roomId));
}

function changeRooms({ apollo }: Session, change: (edges: Edge[]) => Edge[]): void {
  apollo.cache.updateQuery<HomeQuery>({ query: HomeDocument }, (data) => {
    if (!data?.viewer) return undefined;
    const { chatrooms } = data.viewer;
    const edges = change(chatrooms.edges);
    return edges === chatrooms.edges
      ? undefined
      : { ...data, viewer: { ...data.viewer, chatrooms: { ...chatrooms, edges } } };
  });
}
