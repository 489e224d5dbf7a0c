import { useQuery } from '@apollo/client/react';
import { FeaturesDocument } from '../../generated/graphql.ts';

/** Returns whether the server stores files. False until the server has answered. */
export function useFilesAllowed(): boolean {
  const { data } = useQuery(FeaturesDocument);
  return data?.server?.features.includes('attachments') ?? false;
}
