import { useApolloClient } from '@apollo/client/react';
import { useState } from 'react';
import {
  AddFriendDocument,
  BlockUserDocument,
  FriendsDocument,
  RemoveFriendDocument,
  UnblockUserDocument,
} from '../../generated/graphql.ts';
import { useAction } from '../parts/useAction.ts';

/** Actions to befriend or block a person. `note` reports a friend request that was sent. */
export function useRelations(id: string) {
  const apollo = useApolloClient();
  const [note, setNote] = useState<string | null>(null);
  const refetchQueries = [FriendsDocument];
  const variables = { id };
  const action = useAction(async (what: 'befriend' | 'unfriend' | 'block' | 'unblock') => {
    setNote(null);
    switch (what) {
      case 'befriend': {
        const { data } = await apollo.mutate({ mutation: AddFriendDocument, variables, refetchQueries });
        if (data?.addFriend?.status === 'PENDING') setNote('Friend request sent.');
        return;
      }
      case 'unfriend':
        await apollo.mutate({ mutation: RemoveFriendDocument, variables, refetchQueries });
        return;
      case 'block':
        await apollo.mutate({ mutation: BlockUserDocument, variables, refetchQueries });
        return;
      case 'unblock':
        await apollo.mutate({ mutation: UnblockUserDocument, variables, refetchQueries });
    }
  });
  return { ...action, note };
}
